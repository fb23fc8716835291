import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Webhooks: administration by the tenant")
struct WebhookAdministrationTests {
  private static func call<Request, Response>(
    _ harness: MailerHarness, _ method: UnaryMethod<Request, Response>, _ request: Request
  ) async throws -> Response {
    try await harness.call(method, request, user: "", scopes: ["admin"])
  }

  @Test("An endpoint is made, tested, told of mail, listed with its deliveries, replayed and removed")
  func life() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      let url = try receiver.start()
      let made = try await Self.call(harness, Mailer.createWebhook, .init { $0.url = url })
      let id = try #require(made.webhook?.id)
      #expect(made.secret.hasPrefix("whsec_") && made.webhook?.enabled == true)
      #expect(
        try harness.value("SELECT position('\(made.secret)'::bytea IN secret_sealed) FROM webhook_endpoints") == "0")

      let event = try await Self.call(harness, Mailer.testWebhook, .init { $0.id = id }).eventID
      #expect(try await harness.eventually { receiver.requests.count == 1 })
      #expect(receiver.requests[0].fields["webhook-id"] == event)
      #expect(String(decoding: receiver.requests[0].body, as: UTF8.self).contains("webhook.test"))

      receiver.script = { _, _ in .status(410) }
      _ = try await harness.send()
      #expect(
        try await harness.eventually {
          try await Self.call(harness, Mailer.listWebhooks, .init()).webhooks.first?.enabled == false
        })
      #expect(
        await harness.reason { _ = try await Self.call(harness, Mailer.testWebhook, .init { $0.id = id }) }
          == "webhook_disabled")
      let dead = try await Self.call(
        harness, Mailer.listWebhookDeliveries,
        .init {
          $0.webhookID = id
          $0.state = .dead
        })
      #expect(dead.deliveries.count == 1 && dead.deliveries[0].lastStatus == 410)

      receiver.script = { _, _ in .status(200) }
      let enabled = try await Self.call(
        harness, Mailer.updateWebhook,
        .init {
          $0.id = id
          $0.enabled = true
          $0.finalOnly = true
        })
      #expect(
        enabled.webhook?.enabled == true && enabled.webhook?.finalOnly == true && enabled.webhook?.url == url + "/")
      let one = try await Self.call(harness, Mailer.getWebhook, .init { $0.id = id })
      #expect(one.webhook == enabled.webhook && one.webhook?.dead == 1)
      let rotated = try await Self.call(harness, Mailer.rotateWebhookSecret, .init { $0.id = id })
      #expect(rotated.secret != made.secret && rotated.previousSecretUntil != nil)
      #expect(
        try await Self.call(harness, Mailer.replayWebhookDeliveries, .init { $0.webhookID = id }).replayed == 1)
      #expect(
        try await harness.eventually {
          try harness.value("SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered'") == "0"
        })
      // Both secrets sign now.
      #expect(receiver.requests.last?.fields["webhook-signature"]?.split(separator: " ").count == 2)

      var cursor = ""
      var events: [String] = []
      repeat {
        let page = try await Self.call(
          harness, Mailer.listWebhookDeliveries,
          .init {
            $0.webhookID = id
            $0.limit = 1
            $0.cursor = cursor
          })
        events += page.deliveries.map(\.eventID)
        cursor = page.nextCursor
      } while !cursor.isEmpty
      #expect(events.count == Set(events).count && events.last == event)
      #expect(try harness.value("SELECT count(DISTINCT action) FROM audit_events WHERE actor = 'key1'") == "4")

      _ = try await Self.call(harness, Mailer.deleteWebhook, .init { $0.id = id })
      #expect(try await Self.call(harness, Mailer.listWebhooks, .init()).webhooks.isEmpty)
      receiver.stop()
    }
  }

  @Test("What was given up is counted no further than 100,000, and all of it is told again, piece by piece, in order")
  func manyDead() async throws {
    try await MailerHarness.run { harness in
      let id = "we_0123456789abcdef"
      // Disabled, so that nobody carries what waits.
      try harness.database.execute(
        """
        INSERT INTO webhook_endpoints (tenant_id, id, url, secret_sealed, disabled_at)
        VALUES ('acme', '\(id)', 'https://crm.example/', '', now());
        INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, state, done_at)
        SELECT 'acme', '\(id)', 'msg_' || n, 's' || n, 't', '{}', 'dead', now() FROM generate_series(1, 100001) n
        """)
      func counts() async throws -> [Int64] {
        try await Self.call(harness, Mailer.listWebhooks, .init()).webhooks.flatMap { [$0.pending, $0.dead] }
      }
      #expect(try await counts() == [0, 100_000])
      try harness.database.execute("DELETE FROM webhook_deliveries WHERE seq > 5001")
      #expect(try await counts() == [0, 5001])
      #expect(
        try await Self.call(harness, Mailer.replayWebhookDeliveries, .init { $0.webhookID = id }).replayed == 5001)
      #expect(try await counts() == [5001, 0])
      // No transaction had many of them, and what is older waits no longer than what is newer.
      #expect(
        try harness.value(
          "SELECT max(n) FROM (SELECT count(*) AS n FROM webhook_deliveries GROUP BY xmin::text) AS transactions")
          == "2000")
      #expect(
        try harness.value(
          """
          SELECT count(*) FROM (
            SELECT next_at < lag(next_at) OVER (ORDER BY seq) AS is_before FROM webhook_deliveries) AS d WHERE is_before
          """) == "0")
      #expect(try harness.value("SELECT count(*) FROM audit_events WHERE action = 'webhook.replayed'") == "1")
      #expect(
        try await Self.call(harness, Mailer.replayWebhookDeliveries, .init { $0.webhookID = id }).replayed == 0)
      #expect(try harness.value("SELECT count(*) FROM audit_events WHERE action = 'webhook.replayed'") == "1")
    }
  }

  @Test("Where it must not go, what is not there, and another tenant's")
  func refusals() async throws {
    try await MailerHarness.run { harness in
      for url in [
        "", "ftp://x", "http://crm.example/", "https://user@crm.example/", "https://10.0.0.1/", "https://[fd00::1]/",
        "https://169.254.169.254/latest", "https://a/" + String(repeating: "x", count: 2048),
      ] {
        #expect(
          await harness.reason { _ = try await Self.call(harness, Mailer.createWebhook, .init { $0.url = url }) }
            == "invalid_request", "\(url)")
      }
      _ = try harness.value(
        """
        INSERT INTO tenants (id) VALUES ('other');
        INSERT INTO webhook_endpoints (tenant_id, id, url, secret_sealed)
        VALUES ('other', 'we_0123456789abcdef', 'https://other.example/', '')
        """)
      for id in ["we_0123456789abcdef", "we_none", "", "a\u{0}b"] {
        #expect(
          await harness.reason { _ = try await Self.call(harness, Mailer.getWebhook, .init { $0.id = id }) }
            == "not_found")
        #expect(
          await harness.reason { _ = try await Self.call(harness, Mailer.deleteWebhook, .init { $0.id = id }) }
            == "not_found")
        #expect(
          await harness.reason {
            _ = try await Self.call(harness, Mailer.rotateWebhookSecret, .init { $0.id = id })
          } == "not_found")
        #expect(
          await harness.reason { _ = try await Self.call(harness, Mailer.testWebhook, .init { $0.id = id }) }
            == "not_found")
        #expect(
          await harness.reason {
            _ = try await Self.call(harness, Mailer.listWebhookDeliveries, .init { $0.webhookID = id })
          } == "not_found")
      }
      #expect(try await Self.call(harness, Mailer.listWebhooks, .init()).webhooks.isEmpty)
      for _ in 0..<16 {
        _ = try await Self.call(harness, Mailer.createWebhook, .init { $0.url = "https://crm.example/" })
      }
      #expect(
        await harness.reason {
          _ = try await Self.call(harness, Mailer.createWebhook, .init { $0.url = "https://crm.example/" })
        } == "too_many_webhooks")
      #expect(
        await harness.reason { _ = try await harness.call(Mailer.listWebhooks, .init(), user: "", scopes: ["send"]) }
          == "missing_scope")
    }
  }
}
