import CivilTime
import EventLoop
import PostgresClient

/// The edge's reads and its rate buckets in Postgres. Nothing else of the database is the edge's business.
///
/// Anybody may ask for keys and origins that nobody has: a flood of them shares transactions, one at a time of each kind, so
/// that it neither takes the pool nor makes the database as busy as it makes the edge. Nobody is refused for it.
final class PostgresEdgeStore: EdgeStore {
  private let pool: PostgresPool
  private let keys: Batches<String, StoredKey?>
  private let origins: Batches<String, Bool>
  private var own = OwnBuckets()
  /// A request waits for these; a database that is away is better told soon.
  private static let timeout = Duration.seconds(2)

  init(_ pool: PostgresPool) {
    self.pool = pool
    keys = Batches(reactor: pool.reactor) { try await Self.keys($0, pool) }
    origins = Batches(reactor: pool.reactor) { try await Self.areKnown($0, pool) }
  }

  func key(_ id: String) async throws -> StoredKey? { try await keys.submit(id) }

  private static func keys(_ ids: [String], _ pool: PostgresPool) async throws -> [StoredKey?] {
    let rows = try await pool.query(
      """
      SELECT asked.place, k.tenant_id, k.env, k.secret_hmac, k.scopes, k.expires_at,
        k.revoked_at IS NOT NULL, k.tenant_disabled_at IS NOT NULL
      FROM unnest($1::text[]) WITH ORDINALITY AS asked (id, place), emailmcp.find_api_key(asked.id) AS k
      """, [.textArray(ids)], timeout: timeout)
    var found = [StoredKey?](repeating: nil, count: ids.count)
    for row in rows {
      let (place, scopes, expiry): (Int, PostgresArray<String>, Timestamp?) = (try row[0], try row[4], try row[5])
      found[place - 1] = StoredKey(
        tenant: try row[1], environment: try row[2], authenticator: try row[3],
        scopes: Set(scopes.values.compactMap(Scope.init(rawValue:))), expiresAt: expiry?.microseconds,
        isRevoked: try row[6], isTenantDisabled: try row[7])
    }
    return found
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
    return try await origins.submit(origin)
  }

  private static func areKnown(_ origins: [String], _ pool: PostgresPool) async throws -> [Bool] {
    try await pool.query(
      """
      SELECT emailmcp.origin_is_known(asked.origin)
      FROM unnest($1::text[]) WITH ORDINALITY AS asked (origin, place) ORDER BY place
      """, [.textArray(origins)], timeout: timeout
    ).map { try $0[0] }
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
