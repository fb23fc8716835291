import CivilTime
import PostgresClient

/// `user_email_accounts`, with `audit_events` and the notice to the watchers in the same statement as each change.
///
/// A change names the grant and token version that it was decided on; when another process was faster it changes
/// nothing.
final class PostgresAccounts: AccountStore {
  private let pool: PostgresPool

  init(_ pool: PostgresPool) { self.pool = pool }

  func find(_ user: UserKey) async throws -> Account? {
    let rows = try await pool.query(
      """
      SELECT email_address, google_sub, status, reauth_reason, scopes, grant_version, token_version,
        access_token_sealed, access_token_expires_at, refresh_lease_until, connected_at, last_used_at,
        refresh_token_secret_arn
      FROM user_email_accounts WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api'
      """, user.parameters, tenant: user.tenant)
    guard let row = rows.first else { return nil }
    guard let status = ConnectionStatus(rawValue: try row[2]) else {
      throw PostgresError(.decoding, "an account has an unknown status")
    }
    return Account(
      email: try row[0], googleSub: try row[1], status: status, reauthReason: try row[3],
      scopes: try row.column(4, as: PostgresArray<String>.self).values, grantVersion: try row[5],
      tokenVersion: try row[6], sealedAccessToken: try row[7], accessTokenExpiry: try row[8],
      refreshLease: try row[9], connectedAt: try row[10], lastUsedAt: try row[11], secretName: try row[12])
  }

  func connect(_ user: UserKey, _ connection: NewConnection) async throws {
    try await pool.query(
      """
      WITH changed AS (
        INSERT INTO user_email_accounts AS a (tenant_id, user_id, email_address, google_sub, refresh_token_secret_arn,
          status, scopes, token_version, access_token_sealed, access_token_expires_at, refresh_token_expires_at)
        VALUES ($1, $2, $3, $4, $5, 'active', $6, 1, $7, $8, $9)
        ON CONFLICT (tenant_id, user_id, provider) DO UPDATE SET
          email_address = excluded.email_address, google_sub = excluded.google_sub,
          refresh_token_secret_arn = excluded.refresh_token_secret_arn, status = 'active', reauth_reason = NULL,
          scopes = excluded.scopes, grant_version = a.grant_version + 1, token_version = a.token_version + 1,
          access_token_sealed = excluded.access_token_sealed,
          access_token_expires_at = excluded.access_token_expires_at,
          refresh_token_expires_at = excluded.refresh_token_expires_at, refresh_lease_owner = NULL,
          refresh_lease_until = NULL, connected_at = now(), disconnected_at = NULL, updated_at = now()
        RETURNING tenant_id, user_id, status, grant_version
      ), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, user_id, target)
        SELECT tenant_id, $10, 'gmail.connected', user_id, 'gmail_api' FROM changed
      )
      SELECT pg_notify('emailmcp_connections', jsonb_build_object('tenant', tenant_id, 'user', user_id,
        'status', status, 'grant', grant_version)::text) FROM changed
      """,
      user.parameters + [
        .text(connection.identity.email), .text(connection.identity.subject), .text(connection.secretName),
        .textArray(connection.scopes), .bytes(connection.sealedAccessToken), .timestamp(connection.accessTokenExpiry),
        .timestamp(connection.refreshTokenExpiry), .text(connection.actor),
      ],
      tenant: user.tenant)
  }

  func takeRefreshLease(
    _ user: UserKey, of account: Account, owner: String, lease: Duration
  ) async throws -> Bool {
    let rows = try await pool.query(
      """
      UPDATE user_email_accounts
      SET refresh_lease_owner = $5, refresh_lease_until = clock_timestamp() + make_interval(secs => $6)
      WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api' AND status = 'active' AND grant_version = $3
        AND token_version = $4 AND (refresh_lease_until IS NULL OR refresh_lease_until <= clock_timestamp())
      """, user.parameters + account.versions + [.text(owner), .seconds(lease)], tenant: user.tenant)
    return rows.affected == 1
  }

  func releaseRefreshLease(_ user: UserKey, owner: String) async throws {
    try await pool.query(
      """
      UPDATE user_email_accounts SET refresh_lease_owner = NULL, refresh_lease_until = NULL
      WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api' AND refresh_lease_owner = $3
      """, user.parameters + [.text(owner)], tenant: user.tenant)
  }

  func saveRefreshed(_ user: UserKey, of account: Account, owner: String, _ token: RefreshedToken) async throws -> Bool
  {
    let rows = try await pool.query(
      """
      UPDATE user_email_accounts
      SET access_token_sealed = $6, access_token_expires_at = $7, scopes = coalesce($8, scopes),
        token_version = token_version + 1, refresh_lease_owner = NULL, refresh_lease_until = NULL, updated_at = now()
      WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api' AND status = 'active' AND grant_version = $3
        AND token_version = $4 AND refresh_lease_owner = $5
      RETURNING 1
      """,
      user.parameters + account.versions + [
        .text(owner), .bytes(token.sealed), .timestamp(token.expiry), .textArray(token.scopes),
      ],
      tenant: user.tenant)
    return !rows.isEmpty
  }

  func requireReauth(_ user: UserKey, of account: Account, reason: String) async throws -> Bool {
    let rows = try await pool.query(
      """
      WITH changed AS (
        UPDATE user_email_accounts
        SET status = 'reauth_required', reauth_reason = $5, access_token_sealed = NULL, access_token_expires_at = NULL,
          refresh_lease_owner = NULL, refresh_lease_until = NULL, updated_at = now()
        WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api' AND status = 'active' AND grant_version = $3
          AND token_version = $4
        RETURNING tenant_id, user_id, status, grant_version
      ), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, user_id, target, detail)
        SELECT tenant_id, 'oauth', 'gmail.reauth_required', user_id, 'gmail_api', jsonb_build_object('reason', $5)
        FROM changed
      )
      SELECT pg_notify('emailmcp_connections', jsonb_build_object('tenant', tenant_id, 'user', user_id,
        'status', status, 'grant', grant_version)::text) FROM changed
      """, user.parameters + account.versions + [.text(reason)], tenant: user.tenant)
    return !rows.isEmpty
  }

  func disconnect(_ user: UserKey, actor: String) async throws -> Disconnection? {
    // The lock of the Google account makes two of its users who leave at once do so one after the other: one of them
    // is then the last.
    let results = try await pool.batch(
      tenant: user.tenant,
      [
        (
          """
          SELECT pg_advisory_xact_lock(hashtextextended('emailmcp.google_sub ' || google_sub, 0))
          FROM user_email_accounts WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api'
          """, user.parameters
        ),
        (
          """
          WITH before AS (
            SELECT status FROM user_email_accounts
            WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api'
              AND (status <> 'disconnected' OR refresh_token_secret_arn IS NOT NULL)
            FOR UPDATE
          ), changed AS (
            UPDATE user_email_accounts a
            SET status = 'disconnected', reauth_reason = NULL, access_token_sealed = NULL,
              access_token_expires_at = NULL, refresh_lease_owner = NULL, refresh_lease_until = NULL,
              grant_version = grant_version + CASE WHEN before.status = 'disconnected' THEN 0 ELSE 1 END,
              disconnected_at = coalesce(disconnected_at, now()), updated_at = now()
            FROM before WHERE a.tenant_id = $1 AND a.user_id = $2 AND a.provider = 'gmail_api'
            RETURNING a.tenant_id, a.user_id, a.status, a.grant_version, before.status AS old_status
          ), audited AS (
            INSERT INTO audit_events (tenant_id, actor, action, user_id, target)
            SELECT tenant_id, $3, 'gmail.disconnected', user_id, 'gmail_api' FROM changed
            WHERE old_status <> 'disconnected'
          )
          SELECT pg_notify('emailmcp_connections', jsonb_build_object('tenant', tenant_id, 'user', user_id,
            'status', status, 'grant', grant_version)::text) FROM changed
          """, user.parameters + [.text(actor)]
        ),
        (
          """
          SELECT emailmcp.count_google_links(google_sub) FROM user_email_accounts
          WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api'
          """, user.parameters
        ),
      ])
    guard !results[1].isEmpty, let row = results[2].first else { return nil }
    return Disconnection(wasLastLink: try row.column(0, as: Int64.self) == 0)
  }

  /// Under the lock of those who leave the account (`disconnect`), so that of two at once one sees that it was the last.
  func isLinked(googleSub: String) async throws -> Bool {
    let results = try await pool.batch([
      ("SELECT pg_advisory_xact_lock(hashtextextended('emailmcp.google_sub ' || $1::text, 0))", [.text(googleSub)]),
      ("SELECT emailmcp.count_google_links($1)", [.text(googleSub)]),
    ])
    return try results[1].only().column(0, as: Int64.self) > 0
  }

  func noteRevocation(_ user: UserKey, succeeded: Bool, actor: String) async throws {
    try await pool.query(
      """
      INSERT INTO audit_events (tenant_id, actor, action, user_id, target, outcome)
      VALUES ($1, $3, 'gmail.revoked', $2, 'gmail_api', CASE WHEN $4 THEN 'success' ELSE 'failed' END)
      """, user.parameters + [.text(actor), .bool(succeeded)], tenant: user.tenant)
  }

  func secretRemoved(_ user: UserKey, revoked: Bool?, actor: String) async throws {
    try await pool.query(
      """
      WITH changed AS (
        UPDATE user_email_accounts SET refresh_token_secret_arn = NULL, updated_at = now()
        WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api' AND status = 'disconnected'
        RETURNING tenant_id, user_id
      )
      INSERT INTO audit_events (tenant_id, actor, action, user_id, target, outcome)
      SELECT tenant_id, $3, 'gmail.revoked', user_id, 'gmail_api', CASE WHEN $4 THEN 'success' ELSE 'failed' END
      FROM changed WHERE $4 IS NOT NULL
      """, user.parameters + [.text(actor), .bool(revoked)], tenant: user.tenant)
  }
}

extension UserKey {
  /// `$1` and `$2` of every statement.
  fileprivate var parameters: [PostgresValue] { [.text(tenant), .text(user)] }
}

extension Account {
  /// `$3` and `$4`: what a change was decided on.
  fileprivate var versions: [PostgresValue] { [.int8(grantVersion), .int8(tokenVersion)] }
}
