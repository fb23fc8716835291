import CivilTime
import TestSupport
import Testing

@testable import PostgresClient

/// Row-level security holds with the application's WHERE removed, for the services' login and for the owner.
@Suite struct IsolationTests {
  private static let fill = """
    INSERT INTO tenants (id) VALUES ('a'), ('b');
    INSERT INTO api_keys (tenant_id, id, secret_hmac, scopes)
      SELECT t, 'key' || t || '12345', decode(repeat('00', 32), 'hex'), '{send}' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO redirect_urls (tenant_id, url) SELECT t, 'https://x' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO allowed_origins (tenant_id, origin) SELECT t, 'https://x' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO oauth_flows (tenant_id, state_hash, user_id, redirect_url, nonce, verifier_sealed, expires_at)
      SELECT t, sha256(t::bytea), 'u', 'r', 'n', '', now() + '1 hour' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
      SELECT t, 'u', 'x@y', 'sub', 'active' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO vault_secrets (tenant_id, user_id, provider, purpose, key_id, nonce, ciphertext)
      SELECT t, 'u', 'p', 'x', 'k', decode(repeat('00', 12), 'hex'), '' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, status)
      SELECT t, 'u', now(), gen_random_uuid(), 'x@y', 'queued' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, run_at, payload)
      SELECT t, 'u', gen_random_uuid(), now(), 'sub', now(), '' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO idempotency_keys (tenant_id, user_id, route, key_hash, fingerprint)
      SELECT t, 'u', 'r', sha256('k'), sha256('f') FROM unnest('{a,b}'::text[]) t;
    INSERT INTO email_stats_15m (tenant_id, user_id, bucket) SELECT t, 'u', to_timestamp(0) FROM unnest('{a,b}'::text[]) t;
    INSERT INTO email_recipients_day (tenant_id, user_id, day, email)
      SELECT t, 'u', current_date, 'x@y' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO platform_total_deltas (tenant_id, bucket) SELECT t, to_timestamp(0) FROM unnest('{a,b}'::text[]) t;
    INSERT INTO platform_totals_15m (tenant_id, bucket) SELECT t, to_timestamp(0) FROM unnest('{a,b}'::text[]) t;
    INSERT INTO platform_totals (tenant_id) SELECT t FROM unnest('{a,b}'::text[]) t;
    INSERT INTO audit_events (tenant_id, actor, action) SELECT t, 'x', 'y' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO suppressions (tenant_id, entry, source) SELECT t, 'x@y.z', 'platform' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO webhook_endpoints (tenant_id, id, url, secret_sealed)
      SELECT t, 'we_' || t || repeat('0', 20), 'https://x.example', '' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
      SELECT t, 'we_' || t || repeat('0', 20), 'msg', 's', 't', '{}' FROM unnest('{a,b}'::text[]) t;
    INSERT INTO rate_limits (tenant_id, key, tat) SELECT t, 'k', now() FROM unnest('{a,b}'::text[]) t;
    """

  private static let tables = """
    SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')
    """

  @Test(
    "every table with a tenant shows that tenant's rows only, and none without a tenant",
    arguments: ["service", "owner"])
  func isolation(login: String) async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    let tables = try database.execute(Self.tables).compactMap { $0[0] }
    #expect(tables.count >= 19)
    #expect(try database.execute(Self.tables).allSatisfy { $0[1] == "t" })
    try await database.withPool(as: login == "service" ? .service : .owner) { pool in
      #expect(try await Self.leaks(pool, tables) == [])
      let tenants = try await pool.query("SELECT id FROM tenants", tenant: "b")
      #expect(try tenants.map { try $0.column(0, as: String.self) } == ["b"])
    }
  }

  @Test("these tests see a table whose row-level security is off, or not forced, or too wide")
  func brokenVariants() async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    try database.execute("ALTER TABLE email_logs DISABLE ROW LEVEL SECURITY")
    try database.execute("ALTER TABLE vault_secrets NO FORCE ROW LEVEL SECURITY")
    try database.execute("CREATE POLICY wide ON send_jobs FOR SELECT USING (true)")
    let tables = ["email_logs", "vault_secrets", "send_jobs", "audit_events"]
    try await database.withPool(as: .service) { pool in
      let found = try await Self.leaks(pool, tables)
      #expect(found == ["email_logs", "send_jobs"])
    }
    try await database.withPool(as: .owner) { pool in
      let found = try await Self.leaks(pool, tables)
      #expect(found == ["email_logs", "vault_secrets", "send_jobs"])
    }
  }

  /// The tables that show tenant a anything but its one row, or anything at all without a tenant.
  private static func leaks(_ pool: PostgresPool, _ tables: [String]) async throws -> [String] {
    var found: [String] = []
    for table in tables {
      let select = Statement(composed: "SELECT tenant_id FROM \(table)")
      let mine = try await pool.query(select, tenant: "a").map { try $0.column(0, as: String.self) }
      let none = try await pool.query(select).count
      let empty = try await pool.query(select, tenant: "").count
      if mine != ["a"] || none > 0 || empty > 0 { found.append(table) }
    }
    return found
  }

  @Test("a write for another tenant is refused, an update without WHERE touches the tenant's rows only")
  func writes() async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    try await database.withPool { pool in
      let error = await failure {
        try await pool.query(
          "INSERT INTO audit_events (tenant_id, actor, action) VALUES ('b', 'x', 'y')", tenant: "a")
      }
      #expect(error?.code == .insufficientPrivilege)
      let moved = await failure { try await pool.query("UPDATE send_jobs SET tenant_id = 'b'", tenant: "a") }
      #expect(moved?.code == .insufficientPrivilege)
      let touched = try await pool.query("UPDATE send_jobs SET attempts = 1", tenant: "a").affected
      #expect(touched == 1)
      #expect(try await pool.query("DELETE FROM idempotency_keys", tenant: "a").affected == 1)
    }
  }

  @Test("a service gains nothing by setting a scope itself, nor by naming a partition")
  func scope() async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    try await database.withPool { pool in
      for scope in ["lookup", "queue", "fold", "purge", "partition", "admin"] {
        for table in ["tenants", "api_keys", "send_jobs", "oauth_flows", "platform_total_deltas"] {
          let results = try await pool.batch([
            ("SELECT set_config('emailmcp.scope', $1, true)", [.text(scope)]),
            (Statement(composed: "SELECT 1 FROM \(table)"), []),
          ])
          #expect(results[1].isEmpty, "\(scope) on \(table)")
        }
      }
      let partition = "email_logs_" + Timestamp.now().description.prefix(7).replacing("-", with: "_")
      let error = await failure {
        try await pool.query(Statement(composed: "SELECT 1 FROM \(partition)"), tenant: "a")
      }
      #expect(error?.code == .insufficientPrivilege)
    }
  }

  @Test("the audit trail can be added to, and not changed or removed, by its owner neither")
  func appendOnly() async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    try await database.withPool(as: .owner) { pool in
      let changed = try await pool.query("UPDATE audit_events SET actor = 'z'", tenant: "a").affected
      #expect(changed == 0)
      #expect(try await pool.query("DELETE FROM audit_events", tenant: "a").affected == 0)
      let left: Int = try await pool.query("SELECT count(*) FROM audit_events WHERE actor = 'x'", tenant: "a").only()[0]
      #expect(left == 1)
    }
  }

  @Test("a key and a flow are found without a tenant by their handle alone")
  func lookups() async throws {
    let database = try await PostgresFixture.database()
    try database.execute(Self.fill)
    try await database.withPool { pool in
      let key = try await pool.query("SELECT tenant_id FROM emailmcp.find_api_key($1)", ["keyb12345"])
      #expect(try key.only()[0] == "b")
      #expect(try await pool.query("SELECT tenant_id FROM emailmcp.find_api_key($1)", ["nokey"]).isEmpty)
      let flow: String = try await pool.query("SELECT emailmcp.find_oauth_flow_tenant(sha256('a'))").only()[0]
      #expect(flow == "a")
      let links: Int = try await pool.query("SELECT emailmcp.count_google_links('sub')").only()[0]
      #expect(links == 2)
      #expect(try await pool.query("SELECT emailmcp.origin_is_known('https://x')").only()[0] == true)
    }
  }
}
