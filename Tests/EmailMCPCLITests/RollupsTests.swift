import PostgresClient
import ServiceKit
import TLSSession
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct RollupsTests {
  @Test("a rebuild gives from the log what the outcomes had counted, and repairs what was lost")
  func rebuild() async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("a")
    try Tenants(url: database.url(.owner)).create("b")
    try database.execute(
      """
      INSERT INTO email_logs
        (tenant_id, user_id, created_at, id, from_email, to_emails, cc_emails, bcc_emails, status, sent_at)
      SELECT 'a', 'u' || n % 2, t, gen_random_uuid(), 'u@x.example', '["A@y.example", "b@y.example"]',
             '["a@Y.example"]', '[]', (ARRAY['success', 'failed', 'unknown', 'queued'])[n % 4 + 1],
             CASE WHEN n % 4 < 3 THEN t + interval '1 second' END
      FROM generate_series(0, 39) AS n, LATERAL (SELECT timestamptz '2026-11-20 23:00Z' + n * interval '7 minutes' AS t) AS s;
      INSERT INTO email_stats_15m (tenant_id, user_id, bucket, success) VALUES ('a', 'u0', '2026-01-01Z', 999);
      INSERT INTO email_stats_15m (tenant_id, user_id, bucket, success) VALUES ('b', 'u0', '2026-01-01Z', 7);
      INSERT INTO platform_total_deltas (tenant_id, bucket, success) VALUES ('a', '2026-01-01Z', 5);
      """)
    let rollups = try Rollups(url: database.url(.owner))
    #expect(try rollups.tenants() == ["a", "b"])
    #expect(throws: (any Error).self) { try rollups.rebuild("nobody") }
    for _ in 0..<2 { #expect(try rollups.rebuild("a") == 30) }
    func figures(_ table: String) throws -> [String?] {
      try database.execute("SELECT sum(success), sum(failed), sum(unknown) FROM \(table) WHERE tenant_id = 'a'")[0]
    }
    #expect(try figures("email_stats_15m") == ["10", "10", "10"])
    #expect(try figures("platform_totals_15m") == ["10", "10", "10"])
    #expect(try figures("platform_totals") == ["10", "10", "10"])
    #expect(try database.execute("SELECT count(*) FROM platform_total_deltas WHERE tenant_id = 'a'")[0] == ["0"])
    // An address that stands twice in a mail, in any case, counts once.
    let recipients = try database.execute(
      "SELECT email, sum(success) FROM email_recipients_day WHERE tenant_id = 'a' GROUP BY 1 ORDER BY 1")
    #expect(recipients == [["a@y.example", "10"], ["b@y.example", "10"]])
    #expect(try database.execute("SELECT sum(success) FROM email_stats_15m WHERE tenant_id = 'b'")[0] == ["7"])
  }
}

@Suite struct TenantsTests {
  private let peppers = Keyring(generating: "p1")

  @Test("a key lives until it is revoked, and a rotated one beside its successor")
  func keys() async throws {
    let tenants = try Tenants(url: try await PostgresFixture.database().url(.owner))
    try tenants.create("acme")
    let key = try tenants.createKey(
      "acme", scopes: ["send", "read", "send"], environment: .test, expiresIn: nil, peppers: peppers)
    let next = try tenants.rotateKey(key.id, peppers: peppers)
    #expect(try tenants.isLive(key, peppers: peppers) && tenants.isLive(next, peppers: peppers))
    #expect(try !tenants.isLive(key, peppers: Keyring(generating: "p1")))
    try tenants.revokeKey(key.id)
    #expect(try !tenants.isLive(key, peppers: peppers))
    #expect(try tenants.keys().map(\.scopes) == ["send,read", "send,read"])
    #expect(throws: (any Error).self) { try tenants.rotateKey(key.id, peppers: peppers) }
  }

  @Test("a key that was to live for a while gives its successor as long, and no more")
  func rotatedLifetime() async throws {
    let database = try await PostgresFixture.database()
    let tenants = try Tenants(url: database.url(.owner))
    try tenants.create("acme")
    let key = try tenants.createKey(
      "acme", scopes: ["read"], environment: .live, expiresIn: .seconds(3600), peppers: peppers)
    try database.execute(
      "UPDATE api_keys SET created_at = created_at - interval '59 min', expires_at = expires_at - interval '59 min'")
    let next = try tenants.rotateKey(key.id, peppers: peppers)
    let left = try database.execute(
      "SELECT round(extract(epoch FROM expires_at - now()) / 60) FROM api_keys WHERE id = '\(next.id)'")
    #expect(left == [["60"]])
  }

  @Test("a tenant is disabled and enabled, each once, and shown to be")
  func disabled() async throws {
    let database = try await PostgresFixture.database()
    let tenants = try Tenants(url: database.url(.owner))
    try tenants.create("acme")
    func states() throws -> [String] {
      try tenants.state("acme").map { "\($0.kind) \($0.value.prefix(14))" } + tenants.list().map { "\($0.isDisabled)" }
    }
    #expect(try states() == ["state active", "unsent 0", "false"])
    for _ in 0..<2 { try tenants.disable("acme") }
    #expect(try states() == ["state disabled since", "unsent 0", "true"])
    for _ in 0..<2 { try tenants.enable("acme") }
    #expect(try states() == ["state active", "unsent 0", "false"])
    #expect(throws: (any Error).self) { try tenants.disable("nobody") }
    #expect(
      try database.execute("SELECT action FROM audit_events WHERE action LIKE '%abled' ORDER BY 1")
        == [["tenant.disabled"], ["tenant.enabled"]])
  }

  @Test("what is registered for a tenant is shown and can be taken off, and only that")
  func registered() async throws {
    let database = try await PostgresFixture.database()
    let tenants = try Tenants(url: database.url(.owner))
    for tenant in ["acme", "other"] {
      try tenants.create(tenant)
      try tenants.addRedirect(tenant, "https://a.example/done")
      try tenants.addOrigin(tenant, "https://a.example")
    }
    #expect(
      try tenants.registered("acme").map { "\($0.kind) \($0.value)" }
        == ["redirect https://a.example/done", "origin https://a.example"])
    #expect(throws: (any Error).self) { try tenants.removeRedirect("acme", "https://a.example") }
    #expect(throws: (any Error).self) { try tenants.removeOrigin("nobody", "https://a.example") }
    try tenants.removeRedirect("acme", "https://a.example/done")
    try tenants.removeOrigin("acme", "https://a.example")
    #expect(try tenants.registered("acme").isEmpty && tenants.registered("other").count == 2)
    #expect(
      try database.execute("SELECT action FROM audit_events WHERE action LIKE '%.removed' ORDER BY 1")
        == [["origin.removed"], ["redirect.removed"]])
  }

  @Test("names, scopes, redirect URLs and origins of another form are refused")
  func refusals() async throws {
    let tenants = try Tenants(url: try await PostgresFixture.database().url(.owner))
    try tenants.create("acme")
    for name in ["", "Acme", "-a", "a-", "a_b", String(repeating: "a", count: 64)] {
      #expect(throws: (any Error).self) { try tenants.create(name) }
    }
    for url in ["javascript:alert(1)", "https://", "https://a.example/#x", "https://a.example/ b"] {
      #expect(throws: (any Error).self) { try tenants.addRedirect("acme", url) }
    }
    for origin in ["https://A.example", "https://a.example/", "a.example", "null"] {
      #expect(throws: (any Error).self) { try tenants.addOrigin("acme", origin) }
    }
    #expect(throws: (any Error).self) { try tenants.addOrigin("nobody", "https://a.example") }
    let error = #expect(throws: (any Error).self) {
      try tenants.createKey("acme", scopes: ["send", " read"], environment: .live, expiresIn: nil, peppers: peppers)
    }
    #expect(error.map { "\($0)" }?.contains("\" read\" is no scope") == true)
  }
}
