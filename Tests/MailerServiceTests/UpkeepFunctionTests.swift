import TestSupport
import Testing

/// Times are in minutes from now.
@Suite("The functions that tell platforms, clean up and count")
struct UpkeepFunctionTests {
  private static let endpoint = "we_0123456789abcdef"
  private static let other = "we_0123456789abcdee"

  /// With two endpoints and no event.
  private func endpoints() async throws -> QueueTables {
    let queue = try await QueueTables()
    for id in [Self.endpoint, Self.other] {
      try queue.rows("SELECT emailmcp.add_webhook('acme', '\(id)', 'https://x.example/', false, 'secret')")
    }
    return queue
  }

  /// Deliveries, numbered by their `type`.
  private func deliver(
    _ queue: QueueTables, _ number: Int, to endpoint: String = endpoint, about subject: String = "s", at: Int = -1,
    _ more: [String: String] = [:]
  ) throws {
    let names = more.keys.sorted()
    try queue.rows(
      """
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, next_at\(names.map { ", \($0)" }.joined()))
      VALUES ('acme', '\(endpoint)', 'msg', '\(subject)', '\(number)', '{}', at(\(at))\(names.map { ", \(more[$0]!)" }.joined()))
      """)
  }

  private func claim(_ queue: QueueTables, limit: Int = 9, columns: String = "type") throws -> [String] {
    try queue.rows(
      "SELECT \(columns) FROM emailmcp.claim_webhooks(8, 16, \(limit), interval '15 min', '{}', '{}', '{}') ORDER BY type",
      as: .service)
  }

  @Test("claim_webhooks takes the first of each subject that is due, of endpoints that are told")
  func claimWebhooks() async throws {
    let queue = try await endpoints()
    try deliver(queue, 1, about: "a", at: -3)
    try deliver(queue, 2, about: "a", at: -9)  // behind the first of its subject
    try deliver(queue, 3, about: "b", at: 3)
    try deliver(queue, 4, about: "b", at: -3)  // the first of its subject is not due
    try deliver(queue, 5, about: "c", at: -2, ["attempts": "4"])
    try deliver(queue, 6, to: Self.other, about: "a", at: -2)  // another endpoint's order is its own
    try deliver(queue, 7, about: "d", at: -9, ["state": "'delivered'"])
    try deliver(queue, 8, about: "d", at: -1)
    #expect(try claim(queue, limit: 1) == ["1"], "the longest due first")
    #expect(
      try claim(queue, columns: "type, endpoint_id, attempts, url, convert_from(secret_sealed, 'UTF8')") == [
        "5 \(Self.endpoint) 5 https://x.example/ secret", "6 \(Self.other) 1 https://x.example/ secret",
        "8 \(Self.endpoint) 1 https://x.example/ secret",
      ])
    #expect(
      try queue.rows(
        "SELECT type, attempts, minutes(next_at) FROM webhook_deliveries WHERE minutes(next_at) > 5 ORDER BY 1")
        == ["1 1 15", "5 5 15", "6 1 15", "8 1 15"])
    #expect(try claim(queue) == [])
    try queue.rows("UPDATE webhook_deliveries SET next_at = at(-1)")
    try queue.rows("UPDATE webhook_endpoints SET disabled_at = now() WHERE id = '\(Self.endpoint)'")
    #expect(try claim(queue) == ["6"])
  }

  @Test("A secret that was replaced signs too, until its time is over")
  func previousSecret() async throws {
    let queue = try await endpoints()
    for (number, until, expected) in [(1, "at(1)", "old"), (2, "at(-1)", "-"), (3, "NULL", "-")] {
      try queue.rows("UPDATE webhook_endpoints SET previous_sealed = 'old', previous_until = \(until)")
      try deliver(queue, number, about: "s\(number)")
      #expect(try claim(queue, columns: "convert_from(previous_sealed, 'UTF8')") == [expected])
    }
  }

  private func finish(
    _ queue: QueueTables, attempt: Int = 1, _ state: String, delay: Int = 7, disables: Bool = false
  ) throws -> [String] {
    try queue.rows(
      """
      SELECT emailmcp.finish_webhook('acme', '\(Self.endpoint)', (SELECT min(seq) FROM webhook_deliveries WHERE type = '1'),
        \(attempt), '\(state)', interval '\(delay) min', 500, 'why', \(disables))
      """, of: "acme")
  }

  private static let deliveries =
    "SELECT type, state, minutes(next_at), minutes(done_at), last_status FROM webhook_deliveries ORDER BY 1"

  /// The first is claimed.
  private func claimed() async throws -> QueueTables {
    let queue = try await endpoints()
    try deliver(queue, 1, at: 15, ["attempts": "1"])
    try deliver(queue, 2, at: -5)
    try deliver(queue, 3, at: 99)
    try deliver(queue, 4, about: "t", at: -5)
    try deliver(queue, 5, to: Self.other, at: -5)
    return queue
  }

  @Test("An attempt that failed puts off what follows of its subject too; one that ended lets it go at once")
  func finishWebhook() async throws {
    let queue = try await claimed()
    #expect(try finish(queue, attempt: 2, "delivered") == ["f"])
    #expect(try finish(queue, "pending") == ["t"])
    let others = ["4 pending -5 - -", "5 pending -5 - -"]
    #expect(try queue.rows(Self.deliveries) == ["1 pending 7 - 500", "2 pending 7 - -", "3 pending 99 - -"] + others)
    #expect(try finish(queue, "dead", disables: true) == ["t"])
    #expect(try queue.rows(Self.deliveries) == ["1 dead 7 0 500", "2 pending 0 - -", "3 pending 0 - -"] + others)
    #expect(try finish(queue, "delivered") == ["f"], "it has ended")
    #expect(
      try queue.rows("SELECT id, minutes(disabled_at) FROM webhook_endpoints ORDER BY 1")
        == ["\(Self.other) -", "\(Self.endpoint) 0"])
  }

  @Test("An endpoint keeps the time at which it was first disabled")
  func disabledOnce() async throws {
    let queue = try await claimed()
    try queue.rows("UPDATE webhook_endpoints SET disabled_at = at(-9)")
    #expect(try finish(queue, "dead", disables: true) == ["t"])
    #expect(try queue.rows("SELECT DISTINCT minutes(disabled_at) FROM webhook_endpoints") == ["-9"])
  }

  // MARK: Time is over

  @Test(
    "purge_webhooks keeps what was delivered for 3 days, what was given up for 30, and what waits for as long as it does"
  )
  func purgeWebhooks() async throws {
    let queue = try await endpoints()
    let day = 24 * 60
    for (number, state, age) in [
      (1, "delivered", 3 * day - 1), (2, "delivered", 3 * day + 1), (3, "dead", 30 * day - 1),
      (4, "dead", 30 * day + 1),
    ] {
      try deliver(queue, number, ["state": "'\(state)'", "done_at": "at(-\(age))"])
    }
    try deliver(queue, 5, at: -99 * day)
    #expect(try queue.rows("SELECT emailmcp.purge_webhooks()", as: .service) == ["2"])
    #expect(try queue.rows("SELECT type FROM webhook_deliveries ORDER BY 1") == ["1", "3", "5"])
  }

  @Test("purge_expired takes what is over and what can no longer count, and nothing before")
  func purgeExpired() async throws {
    let queue = try await QueueTables()
    try queue.rows(
      """
      INSERT INTO oauth_flows (tenant_id, state_hash, user_id, redirect_url, nonce, verifier_sealed, expires_at)
        SELECT 'acme', sha256(n::text::bytea), 'u', 'r', 'n', '', at(n) FROM unnest(ARRAY[-1, 1]) n;
      INSERT INTO idempotency_keys (tenant_id, user_id, route, key_hash, fingerprint, expires_at)
        SELECT 'acme', 'u', 'r', sha256(n::text::bytea), sha256(''), at(n) FROM unnest(ARRAY[-1, 1]) n;
      INSERT INTO vault_secrets (tenant_id, user_id, provider, purpose, key_id, nonce, ciphertext, purge_at)
        SELECT 'acme', coalesce(n::text, 'kept'), 'p', 'p', 'k', '012345678901', '', at(n) FROM unnest(ARRAY[-1, 1, NULL]) n;
      INSERT INTO rate_limits (tenant_id, key, tat) SELECT 'acme', n::text, at(n) FROM unnest(ARRAY[-61, -59]) n;
      INSERT INTO mailbox_usage SELECT 'box', at(60 * n), 1 FROM unnest(ARRAY[-27, -25]) n
      """)
    #expect(try queue.rows("SELECT emailmcp.purge_expired()", as: .service) == ["5"])
    for (table, time, left) in [
      ("oauth_flows", "expires_at", ["1"]), ("idempotency_keys", "expires_at", ["1"]),
      ("vault_secrets", "purge_at", ["1", "-"]), ("rate_limits", "tat", ["-59"]), ("mailbox_usage", "hour", ["-1500"]),
    ] {
      #expect(try queue.rows("SELECT minutes(\(time)) FROM \(table) ORDER BY \(time)") == left, "\(table)")
    }
  }

  // MARK: Who must not be written to

  @Test(
    "An address is on the list by itself or by a domain that it is in, whatever the case, and by nothing else",
    arguments: [
      ("bob@x.example", "Bob@X.Example", true), ("x.example", "bob@x.example", true),
      ("x.example", "bob@a.b.X.example", true),
      ("x.example", "bob@notx.example", false), ("bob@x.example", "bob@a.x.example", false),
      ("x.example", "x.example@y.example", false), ("a.x.example", "bob@x.example", false),
      ("y.example", #""a@y.example"@x.example"#, false), ("x.example", #""a@y.example"@x.example"#, true),
    ])
  func suppressed(entry: String, address: String, isListed: Bool) async throws {
    let queue = try await QueueTables()
    for tenant in ["acme", "beta"] {
      try queue.rows(
        "INSERT INTO suppressions (tenant_id, entry, source) VALUES ('\(tenant)', '\(tenant == "acme" ? entry : "free.example")', 'platform')"
      )
    }
    let found = try queue.rows(
      "SELECT emailmcp.suppressed_of('acme', ARRAY['eve@free.example', '\(address)'])", of: "acme")
    #expect(found == (isListed ? [address] : []))
  }

  // MARK: Figures

  @Test("A tenant's unsent mail is its own, counted no further than asked for")
  func unsent() async throws {
    let queue = try await QueueTables()
    for number in 1...3 { try queue.job(number, tenant: number == 3 ? "beta" : "acme", lease: number == 1 ? 1 : nil) }
    func count(_ limit: Int) throws -> [String] {
      try queue.rows("SELECT emailmcp.count_unsent('acme', \(limit))", as: .service)
    }
    #expect(try count(9) + count(1) == ["2", "1"])
  }

  @Test("The queue's figures tell apart what is due, planned, parked and in hand")
  func figures() async throws {
    let queue = try await QueueTables()
    for (number, runAt, lease) in [(1, -1, nil), (2, -1, nil), (3, 5, nil), (4, -1, 1), (5, -1, -1)]
      as [(Int, Int, Int?)]
    {
      try queue.job(number, tenant: number == 2 ? "beta" : "acme", runAt: runAt, lease: lease)
    }
    try queue.job(6)
    try queue.rows("UPDATE send_jobs SET run_at = 'infinity' WHERE id = id(6)")
    #expect(
      try queue.rows(
        "SELECT due, scheduled, parked, leased, oldest_age_seconds FROM emailmcp.queue_figures()", as: .service)
        == ["2 1 1 2 -"])
  }
}
