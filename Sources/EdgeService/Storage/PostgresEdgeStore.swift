import CivilTime
import PostgresClient

/// The edge's reads and its rate buckets in Postgres. Nothing else of the database is the edge's business.
final class PostgresEdgeStore: EdgeStore {
  private let pool: PostgresPool
  /// A request waits for these; a database that is away is better told soon.
  private static let timeout = Duration.seconds(2)

  init(_ pool: PostgresPool) { self.pool = pool }

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

  func takeTokens(
    tenant: String, bucket: String, perSecond: Double, burst: Int, want: Int
  ) async throws -> (granted: Int, retryAfter: Duration) {
    let row = try await pool.query(
      "SELECT granted::bigint, retry_after FROM emailmcp.take_tokens($1, $2, $3, $4)",
      [.text(bucket), .double(perSecond), .int4(Int32(clamping: burst)), .int4(Int32(clamping: want))],
      tenant: tenant, timeout: Self.timeout
    ).only()
    let seconds: Double = try row[1]
    return (try row[0], .seconds(min(max(0, seconds), 3600)))
  }
}
