import EventLoop
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Webhooks: an endpoint's removal")
struct WebhookRemovalTests {
  private static let id = "we_0123456789abcdef"

  private static func database() async throws -> TestDatabase {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try database.execute(
      """
      SELECT emailmcp.add_webhook('acme', '\(id)', 'https://x.example/', true, '\\x01');
      INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
      VALUES ('acme', 'ann', 'ann@example.com', 'sub', 'active');
      INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, status)
      VALUES ('acme', 'ann', now(), gen_random_uuid(), 'ann@example.com', 'sending');
      DELETE FROM webhook_deliveries
      """)
    return database
  }

  private static func call<Request, Response>(
    _ harness: MailerHarness, _ method: UnaryMethod<Request, Response>, _ request: Request,
    timeout: Duration = .seconds(30)
  ) async throws -> Response {
    try await harness.call(method, request, user: "", scopes: ["admin"], timeout: timeout)
  }

  @Test(
    "A status that changes while the endpoint's row is being deleted is written, and told to nobody",
    arguments: [
      "UPDATE email_logs SET status = 'failed', error_code = 'x', sent_at = now() WHERE tenant_id = 'acme'",
      "UPDATE user_email_accounts SET status = 'disconnected' WHERE tenant_id = 'acme'",
    ])
  func statusDuringDelete(change: String) async throws {
    let database = try await Self.database()
    let waiting = "SELECT FROM pg_stat_activity WHERE datname = '\(database.name)' AND wait_event_type = 'Lock'"
    let changed = try await database.withPool { pool in
      var telling: Task<Int, any Error>?
      var isOver = false
      try await pool.transaction(tenant: "acme") { transaction in
        try await transaction.query("DELETE FROM webhook_endpoints WHERE tenant_id = 'acme'")
        telling = pool.reactor.spawn {
          defer { isOver = true }
          return try await pool.query(Statement(composed: change), tenant: "acme").affected
        }
        while try !isOver && database.execute(waiting).isEmpty { try await pool.reactor.sleep(for: .milliseconds(5)) }
        #expect(!isOver, "it did not wait")
      }
      return try await telling?.value
    }
    #expect(changed == 1)
    #expect(try database.execute("SELECT FROM webhook_deliveries").isEmpty)
    #expect(try database.execute("SELECT FROM webhook_endpoints").isEmpty)
  }

  @Test("Removal waits for nobody who tells, and for all callers nothing is left of the endpoint")
  func removal() async throws {
    try await MailerHarness.run { harness in
      let ids = try await (0..<16).asyncMap { _ in
        try await Self.call(harness, Mailer.createWebhook, .init { $0.url = "https://crm.example/" }).webhook?.id
      }
      let id = try #require(ids.first ?? nil)
      _ = try await Self.call(harness, Mailer.rotateWebhookSecret, .init { $0.id = id })
      try await harness.asOwner { telling in
        try await telling.query("SELECT set_config('emailmcp.tenant_id', 'acme', true)")
        try await telling.query("UPDATE user_email_accounts SET status = 'reauth_required' WHERE tenant_id = 'acme'")
        _ = try await Self.call(harness, Mailer.deleteWebhook, .init { $0.id = id }, timeout: .seconds(5))
      }
      #expect(
        try harness.database.execute(
          """
          SELECT secret_sealed, previous_sealed, previous_until, disabled_at IS NOT NULL FROM webhook_endpoints
          WHERE removed_at IS NOT NULL
          """) == [["\\x", nil, nil, "t"]])
      let left = try await Self.call(harness, Mailer.listWebhooks, .init()).webhooks.map(\.id)
      #expect(left.count == 15 && !left.contains(id))
      let calls: [(String, () async throws -> Void)] = [
        ("delete", { _ = try await Self.call(harness, Mailer.deleteWebhook, .init { $0.id = id }) }),
        ("rotate", { _ = try await Self.call(harness, Mailer.rotateWebhookSecret, .init { $0.id = id }) }),
        ("test", { _ = try await Self.call(harness, Mailer.testWebhook, .init { $0.id = id }) }),
        (
          "update",
          {
            _ = try await Self.call(
              harness, Mailer.updateWebhook,
              .init {
                $0.id = id
                $0.enabled = true
              })
          }
        ),
        (
          "deliveries", { _ = try await Self.call(harness, Mailer.listWebhookDeliveries, .init { $0.webhookID = id }) }
        ),
        ("replay", { _ = try await Self.call(harness, Mailer.replayWebhookDeliveries, .init { $0.webhookID = id }) }),
      ]
      for (name, call) in calls { #expect(await harness.reason(call) == "not_found", "\(name)") }
      // Its place is free.
      _ = try await Self.call(harness, Mailer.createWebhook, .init { $0.url = "https://crm.example/" })
      try harness.database.execute("DELETE FROM webhook_deliveries")
      try harness.database.execute("UPDATE user_email_accounts SET status = 'active'")
      #expect(
        try harness.value(
          "SELECT count(*) || ' ' || count(*) FILTER (WHERE endpoint_id = '\(id)') FROM webhook_deliveries") == "16 0")
    }
  }

  @Test("A removed endpoint is told nothing, and goes piece by piece with all that was to be told, then itself")
  func purge() async throws {
    let database = try await Self.database()
    let other = "we_0123456789abcdee"
    try database.execute(
      """
      SELECT emailmcp.add_webhook('acme', '\(other)', 'https://x.example/', true, '');
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
      SELECT 'acme', CASE WHEN n > 12 THEN '\(other)' ELSE '\(Self.id)' END, 'msg', 's', 't', '{}'
      FROM generate_series(1, 13) n
      """)
    func purge() throws -> String? {
      try database.execute("SELECT emailmcp.purge_webhooks(5)", as: .service)[0][0]
    }
    func left(_ table: String) throws -> Int { try database.execute("SELECT FROM \(table)").count }
    #expect(try purge() == "0")
    try database.execute(
      "UPDATE webhook_endpoints SET disabled_at = now(), removed_at = now() WHERE id = '\(Self.id)'")
    #expect(try [purge(), purge(), purge()] == ["5", "5", "2"])
    #expect(try left("webhook_deliveries") == 1 && left("webhook_endpoints") == 2)
    // Who had seen it before may still tell it.
    #expect(try purge() == "0")
    try database.execute(
      "UPDATE webhook_endpoints SET removed_at = now() - interval '61 s' WHERE removed_at IS NOT NULL")
    #expect(try purge() == "1")
    #expect(try left("webhook_deliveries") == 1)
    #expect(try database.execute("SELECT id FROM webhook_endpoints") == [[other]])
  }

  @Test("A tenant whose endpoints are all removed pays for none, and what is removed cannot be enabled")
  func untold() async throws {
    let database = try await Self.database()
    func untold() throws -> String? {
      try database.execute(
        "BEGIN; SELECT emailmcp.begin_batch('acme'); SELECT current_setting('emailmcp.untold')", as: .service)[0][0]
    }
    #expect(try untold() == "")
    try database.execute("UPDATE webhook_endpoints SET disabled_at = now(), removed_at = now()")
    #expect(try untold() == "acme")
    try database.execute(
      """
      UPDATE email_logs SET status = 'failed', error_code = 'x', sent_at = now();
      UPDATE user_email_accounts SET status = 'disconnected'
      """)
    #expect(try database.execute("SELECT FROM webhook_deliveries").isEmpty)
    // A release that knows nothing of removal says so to its caller.
    #expect(throws: PostgresError.self) { try database.execute("UPDATE webhook_endpoints SET disabled_at = NULL") }
  }
}

extension Sequence {
  fileprivate func asyncMap<Value>(_ transform: (Element) async throws -> Value) async throws -> [Value] {
    var values: [Value] = []
    for element in self { values.append(try await transform(element)) }
    return values
  }
}
