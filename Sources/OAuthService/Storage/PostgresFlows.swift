import CivilTime
import PostgresClient

/// `oauth_flows` and `redirect_urls`. Flows go by the database's clock.
final class PostgresFlows: FlowStore {
  private let pool: PostgresPool
  /// A browser needs no credential to bring a state, so that anybody may bring what was never made: a flood shares
  /// transactions, one at a time.
  private let tenants: Batches<[UInt8], String?>

  init(_ pool: PostgresPool) {
    self.pool = pool
    tenants = Batches(reactor: pool.reactor) { hashes in
      try await pool.query(
        """
        SELECT emailmcp.find_oauth_flow_tenant(asked.hash)
        FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (hash, place) ORDER BY place
        """, [.bytesArray(hashes)]
      ).map { try $0[0] }
    }
  }

  func isRegistered(redirectURL: String, tenant: String) async throws -> Bool {
    let rows = try await pool.query(
      "SELECT 1 FROM redirect_urls WHERE tenant_id = $1 AND url = $2", [.text(tenant), .text(redirectURL)],
      tenant: tenant)
    return !rows.isEmpty
  }

  func save(
    _ flow: AuthorizationFlow, state: FlowState, sealedVerifier: [UInt8], lifetime: Duration
  ) async throws -> Timestamp {
    try await pool.query(
      """
      INSERT INTO oauth_flows (tenant_id, state_hash, user_id, redirect_url, nonce, verifier_sealed, expected_email,
        credential_id, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9)) RETURNING expires_at
      """,
      [
        .text(flow.user.tenant), .bytes(state.hash), .text(flow.user.user), .text(flow.redirectURL), .text(flow.nonce),
        .bytes(sealedVerifier), .text(flow.expectedEmail), .text(flow.credentialID), .seconds(lifetime),
      ],
      tenant: flow.user.tenant
    ).only()[0]
  }

  func findOpen(_ state: FlowState) async throws -> (user: UserKey, redirectURL: String)? {
    guard let tenant = try await tenants.submit(state.hash) else { return nil }
    let rows = try await pool.query(
      """
      SELECT user_id, redirect_url FROM oauth_flows
      WHERE tenant_id = $1 AND state_hash = $2 AND code_sealed IS NULL AND expires_at > now()
      """, [.text(tenant), .bytes(state.hash)], tenant: tenant)
    guard let row = rows.first else { return nil }
    return (UserKey(tenant: tenant, user: try row[0]), try row[1])
  }

  func attach(
    sealedCode: [UInt8], handleHash: [UInt8], lifetime: Duration, to state: FlowState, tenant: String
  ) async throws -> Bool {
    let rows = try await pool.query(
      """
      UPDATE oauth_flows
      SET code_sealed = $3, code_handle_hash = $4, code_expires_at = least(now() + make_interval(secs => $5), expires_at)
      WHERE tenant_id = $1 AND state_hash = $2 AND code_sealed IS NULL AND expires_at > now()
      """,
      [.text(tenant), .bytes(state.hash), .bytes(sealedCode), .bytes(handleHash), .seconds(lifetime)], tenant: tenant)
    return rows.affected == 1
  }

  func consume(_ state: FlowState, tenant: String) async throws -> StoredFlow? {
    let rows = try await pool.query(
      """
      DELETE FROM oauth_flows WHERE tenant_id = $1 AND state_hash = $2
      RETURNING user_id, redirect_url, nonce, verifier_sealed, expected_email, expires_at > now(), code_sealed,
        code_handle_hash, code_expires_at > now()
      """, [.text(tenant), .bytes(state.hash)], tenant: tenant)
    guard let row = rows.first, try row[5] == true else { return nil }
    var code: (sealed: [UInt8], handleHash: [UInt8], isFresh: Bool)?
    if !row.isNull(6) { code = (try row[6], try row[7], try row[8]) }
    return StoredFlow(
      user: UserKey(tenant: tenant, user: try row[0]), redirectURL: try row[1], nonce: try row[2],
      sealedVerifier: try row[3], expectedEmail: try row[4], sealedCode: code)
  }
}
