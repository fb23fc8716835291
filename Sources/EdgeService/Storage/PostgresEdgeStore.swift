import CivilTime
import EventLoop
import PostgresClient

/// The edge's reads and its rate buckets in Postgres. Nothing else of the database is the edge's business.
final class PostgresEdgeStore: EdgeStore {
  private let pool: PostgresPool
  private var own = OwnBuckets()
  /// A request waits for these; a database that is away is better told soon.
  private static let timeout = Duration.seconds(2)

  init(_ pool: PostgresPool) {
    self.pool = pool
  }

  func key(_ id: String) async throws -> StoredKey? {
    let rows = try await pool.query(
      """
      SELECT tenant_id, env, secret_hmac, scopes, expires_at, revoked_at IS NOT NULL OR tenant_disabled_at IS NOT NULL
      FROM emailmcp.find_api_key($1)
      """, [.text(id)], timeout: Self.timeout)
    guard let row = rows.first else { return nil }
    let scopes: PostgresArray<String> = try row[3]
    let expiry: Timestamp? = try row[4]
    return StoredKey(
      tenant: try row[0], environment: try row[1], authenticator: try row[2],
      scopes: Set(scopes.values.compactMap(Scope.init(rawValue:))), expiresAt: expiry?.microseconds,
      isRevoked: try row[5])
  }

  /// Other replicas write the same row, hence the condition.
  func noteUse(of keyID: String, tenant: String) async throws {
    _ = try await pool.query(
      """
      UPDATE api_keys SET last_used_at = now() WHERE tenant_id = $1 AND id = $2
        AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
      """, [.text(tenant), .text(keyID)], tenant: tenant, timeout: Self.timeout)
  }

  func allowsOrigin(_ origin: String, tenant: String?) async throws -> Bool {
    if let tenant {
      return try await pool.query(
        "SELECT true FROM allowed_origins WHERE tenant_id = $1 AND origin = $2", [.text(tenant), .text(origin)],
        tenant: tenant, timeout: Self.timeout
      ).isEmpty == false
    }
    return try await pool.query(
      "SELECT emailmcp.origin_is_known($1)", [.text(origin)], timeout: Self.timeout
    ).only()[0]
  }

  /// Of a database that takes no writes each loop counts by itself: what reads needs none, and what writes will be refused.
  func takeTokens(_ asks: [TokenAsk]) async throws -> [TokenGrant] {
    do {
      return try await takeSharedTokens(asks)
    } catch let error as PostgresError where error.code == .readOnlyTransaction {
      let now = UInt64(Instant.current().nanoseconds)
      return asks.map { own.take($0, now: now) }
    }
  }

  /// One statement for the asks of a tenant and a rate. In the order of tenants and keys, so that two replicas never wait
  /// for each other's rows in a circle.
  private func takeSharedTokens(_ asks: [TokenAsk]) async throws -> [TokenGrant] {
    let groups = TokenAsk.grouped(asks)
    let results = try await pool.batch(
      timeout: Self.timeout,
      groups.map { group in
        (
          "SELECT key, granted::bigint, retry_after FROM emailmcp.take_tokens($1, $2, $3, $4, $5)",
          [
            .text(group.tenant), .double(group.perSecond), .int4(group.burst), .textArray(group.buckets.map(\.key)),
            .int4Array(group.buckets.map(\.want)),
          ]
        )
      })
    var grants = [TokenGrant](repeating: (0, .zero), count: asks.count)
    for (group, rows) in zip(groups, results) {
      for row in rows {
        let (key, granted, seconds): (String, Int, Double) = (try row[0], try row[1], try row[2])
        guard let bucket = group.buckets.first(where: { $0.key.utf8.elementsEqual(key.utf8) }) else { continue }
        let wait = Duration.seconds(min(max(0, seconds), 3600))
        for (place, count) in bucket.shares(of: granted, among: asks) { grants[place] = (count, wait) }
      }
    }
    return grants
  }
}
