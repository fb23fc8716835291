import SecretVault
import ServiceKit
import TLSSession
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct WebhooksTests {
  private static let url = WebhookURL("https://crm.example")!

  @Test("a removed endpoint is gone for every command, and its place is free")
  func removal() async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("acme")
    let webhooks = try Webhooks(url: database.url(.owner))
    let seal = ColumnSeal(Keyring(generating: "k"))
    let ids = try (0..<16).map { _ in try webhooks.add("acme", Self.url, finalOnly: true, seal: seal).id }
    #expect(throws: (any Error).self) {
      try webhooks.add("acme", Self.url, finalOnly: true, seal: seal)
    }
    let id = ids[0]
    try database.execute(
      """
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, state, done_at)
      SELECT 'acme', id, 'msg', 's', 't', '{}', 'dead', now() FROM webhook_endpoints
      """)
    #expect(try webhooks.deliveries("acme", id, state: "dead", limit: 10).count == 1)
    #expect(try webhooks.list("acme").map { $0[5] } == Array(repeating: "1", count: 16))
    try webhooks.remove("acme", id)
    #expect(try webhooks.list("acme").map { $0[0] } == ids.dropFirst().map { $0 })
    #expect(throws: (any Error).self) { try webhooks.remove("acme", id) }
    #expect(throws: (any Error).self) { try webhooks.enable("acme", id) }
    #expect(throws: (any Error).self) { try webhooks.rotate("acme", id, overlap: .seconds(1), seal: seal) }
    #expect(throws: (any Error).self) { try webhooks.deliveries("acme", id, state: "dead", limit: 10) }
    #expect(throws: (any Error).self) { try webhooks.replay("acme", id, event: nil) }
    #expect(try webhooks.replay("acme", ids[1], event: nil) == 1)
    _ = try webhooks.add("acme", Self.url, finalOnly: true, seal: seal)
    let removed = try database.execute(
      """
      SELECT id, octet_length(secret_sealed), disabled_at = removed_at FROM webhook_endpoints
      WHERE removed_at IS NOT NULL
      """)
    #expect(removed == [[id, "0", "t"]])
    #expect(
      try database.execute("SELECT target FROM audit_events WHERE action = 'webhook.removed'") == [[id]])
  }

  @Test(
    "the old secret signs too for as long as the API takes it", arguments: [("0s", true), ("7d", true), ("8d", false)])
  func overlaps(text: String, isTaken: Bool) async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("acme")
    let webhooks = try Webhooks(url: database.url(.owner))
    let seal = ColumnSeal(Keyring(generating: "k"))
    let id = try webhooks.add("acme", Self.url, finalOnly: true, seal: seal).id
    let overlap = try #require(Lifetime(argument: text)).duration
    #expect(((try? webhooks.rotate("acme", id, overlap: overlap, seal: seal)) != nil) == isTaken)
  }

  @Test("what was given up is counted to 100,000, and told again piece by piece, as the tenant would do it")
  func manyDead() async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("acme")
    let webhooks = try Webhooks(url: database.url(.owner))
    let seal = ColumnSeal(Keyring(generating: "k"))
    let id = try webhooks.add("acme", Self.url, finalOnly: true, seal: seal).id
    try database.execute(
      """
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, state, attempts, done_at)
      SELECT 'acme', '\(id)', 'msg_' || n, 's' || n, 't', '{}', 'dead', 9, now() FROM generate_series(1, 100001) n
      """)
    func counts() throws -> [String?] { Array(try webhooks.list("acme")[0][4...5]) }
    #expect(try counts() == ["0", "100000"])
    try database.execute("DELETE FROM webhook_deliveries WHERE seq > 5001")
    #expect(try webhooks.replay("acme", id, event: nil) == 5001)
    #expect(try counts() == ["5001", "0"])
    #expect(
      try database.execute("SELECT count(*) FROM webhook_deliveries GROUP BY xmin::text ORDER BY min(seq)")
        == [["2000"], ["2000"], ["1001"]])
    #expect(try webhooks.replay("acme", id, event: nil) == 0)
    try database.execute("UPDATE webhook_deliveries SET state = 'delivered', done_at = now() WHERE seq < 3")
    #expect(try webhooks.replay("acme", id, event: "msg_2") == 1)
    // One that still will be told, and one that never was.
    for event in ["msg_2", "nope"] {
      #expect(throws: (any Error).self) { try webhooks.replay("acme", id, event: event) }
    }
    #expect(throws: (any Error).self) { try webhooks.list("nobody") }
    #expect(
      try database.execute("SELECT id FROM webhook_deliveries WHERE state = 'delivered'") == [["msg_1"]])
    #expect(try database.execute("SELECT FROM audit_events WHERE action = 'webhook.replayed'").count == 2)
  }
}
