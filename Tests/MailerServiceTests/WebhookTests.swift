import CivilTime
import EventLoop
import HTTPSClient
import HTTPTypes
import Logging
import PostgresClient
import SecretVault
import ServiceContracts
import ServiceKit
import StrictJSON
import TLSSession
import TestSupport
import Testing
import URLSyntax
import WireCodec

@testable import MailerService

@Suite("Webhooks: values")
struct WebhookValueTests {
  @Test("Ten attempts by the schedule of Standard Webhooks, then dead")
  func schedule() {
    var waits: [Duration] = []
    for number in 1...9 {
      guard case .retry(let wait) = WebhookAttempt(number: number).verdict(on: .failure("timeout"), jitter: 0) else {
        Issue.record("attempt \(number) is the last")
        return
      }
      waits.append(wait)
    }
    #expect(waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400].map { .seconds($0) })
    #expect(WebhookAttempt(number: 10).verdict(on: .failure("timeout"), jitter: 0) == .dead(disables: false))
  }

  @Test(
    "What an answer means",
    arguments: [
      (.status(200, retryAfter: nil), .delivered), (.status(299, retryAfter: 9), .delivered),
      (.status(199, retryAfter: nil), .retry(after: .seconds(5))),
      (.status(301, retryAfter: nil), .retry(after: .seconds(5))),
      (.status(410, retryAfter: nil), .dead(disables: true)),
      (.status(429, retryAfter: 60), .retry(after: .seconds(60))),
      (.status(503, retryAfter: 1), .retry(after: .seconds(5))),
      (.status(503, retryAfter: 999_999), .retry(after: .seconds(86_400))),
      (.status(503, retryAfter: -1), .retry(after: .seconds(5))),
      (.refused("private"), .retry(after: .seconds(5))),
    ] as [(WebhookAnswer, WebhookAttempt.Verdict)])
  func verdicts(_ answer: WebhookAnswer, _ expected: WebhookAttempt.Verdict) {
    #expect(WebhookAttempt(number: 1).verdict(on: answer, jitter: 0) == expected)
  }

  @Test(
    "Addresses that are not of the public internet",
    arguments: [
      "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.255",
      "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1",
      "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1",
      "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::8.8.8.8",
      "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:1ff::1", "2001:db8::1", "2002:7f00:1::",
      "3fff::1", "3fff:fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "example.com", "",
    ])
  func notPublic(_ host: String) { #expect(!PublicAddress.contains(host)) }

  @Test(
    "Addresses of the public internet, next to the ranges that are not",
    arguments: [
      "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
      "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
      "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2a00:1450::1",
      "2003::1", "3fff:1000::1",
    ])
  func isPublic(_ host: String) { #expect(PublicAddress.contains(host)) }

  @Test(
    "A URL that webhooks may go to",
    arguments: [
      ("https://a.example/x?y=1", "a.example", 443, "/x?y=1"), ("https://A.example", "a.example", 443, "/"),
      ("https://a.example:8443?q", "a.example", 8443, "/?q"), ("https://[2001:db8::1]:1/", "2001:db8::1", 1, "/"),
      ("http://127.0.0.1:9/h", "127.0.0.1", 9, "/h"), ("http://localhost", "localhost", 80, "/"),
    ] as [(String, String, UInt16, String)])
  func urls(_ text: String, _ host: String, _ port: UInt16, _ path: String) throws {
    let url = try #require(WebhookURL(text))
    #expect(url.host == host && url.port == port && url.url.target == path)
  }

  @Test(
    "A URL that they may not go to",
    arguments: [
      "", "https://", "ftp://a.example", "http://a.example", "https://u@a.example", "https://u:p@a.example/",
      "https://a.example#f", "https://a.example:0", "https://a.example:65536", "https://a.example:+1", "https://[::1",
      "https://[::1]x", "https://a b.example", "https://ä.example", "//a.example", "https://a.example/\u{7}",
      "https://a.example/" + String(repeating: "a", count: 2048), longURL(path: "/", 2049),
      // Its path is "/", which makes it longer than what was given.
      longURL(path: "", 2048), longURL(path: "?", 2048),
    ])
  func badURLs(_ text: String) { #expect(WebhookURL(text) == nil) }

  @Test(
    "An endpoint at an address that is not public is refused at once, however the address is written",
    arguments: [
      "10.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0x7f000001", "127.0.0.1.", "10.1", "[::1]",
      "[::ffff:7f00:1]", "localhost", "LocalHost.", "a.localhost",
    ])
  func privateEndpoints(host: String) {
    let error = #expect(throws: WebhookURLError.self) {
      try WebhookURL(endpoint: "https://\(host)/x", allowsLoopback: false)
    }
    #expect(error?.description == "This is no address of the public internet.")
  }

  @Test("For development an endpoint may be on this very machine, in plain http; others stay as they are")
  func loopbackEndpoints() {
    for (url, isTaken) in [
      ("https://127.1/", true), ("http://127.0.0.1:1/", true), ("http://localhost/", true), ("https://[::1]/", true),
      ("https://10.1/", false), ("http://a.example/", false), ("https://a.example/", true), ("https://8.8.8.8/", true),
    ] {
      #expect(((try? WebhookURL(endpoint: url, allowsLoopback: true)) != nil) == isTaken, "\(url)")
    }
    #expect(throws: WebhookURLError.self) { try WebhookURL(endpoint: "http://127.0.0.1:1/", allowsLoopback: false) }
    #expect(throws: Never.self) { try WebhookURL(endpoint: "https://1.example/", allowsLoopback: false) }
  }

  @Test(
    "Retry-After is seconds or a date",
    arguments: [
      ("120", 120), ("Sun, 22 Nov 2026 10:41:00 GMT", 90), ("Sun, 22 Nov 2026 10:00:00 GMT", -2370), ("soon", nil),
      ("99999999999999", 31_622_400),
    ] as [(String, Int?)])
  func retryAfter(text: String, seconds: Int?) throws {
    var head = HTTPResponse(status: .serviceUnavailable)
    head.headerFields[.init("Retry-After")!] = text
    let now = try #require(Timestamp(rfc3339: "2026-11-22T10:39:30Z"))
    #expect(WebhookSender.answer(head, now: now) == .status(503, retryAfter: seconds))
  }

  @Test("A URL may be as long as the table takes it, counted with the path that it is written down with")
  func longestURLs() throws {
    for text in [Self.longURL(path: "/", 2048), Self.longURL(path: "", 2047), Self.longURL(path: "?", 2047)] {
      let url = try #require(WebhookURL(text))
      #expect(url.description.utf8.count == 2048)
    }
  }

  /// A URL of so many bytes; without a path it is the port that is long.
  private static func longURL(path: String, _ count: Int) -> String {
    let start = "https://a.example"
    if !path.isEmpty { return start + path + String(repeating: "a", count: count - start.utf8.count - 1) }
    return start + ":" + String(repeating: "0", count: count - start.utf8.count - 4) + "443"
  }

  @Test("The signature agrees with the specification's example; a secret's text is hidden")
  func signature() throws {
    let key = try #require(Base64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    let secret = try #require(WebhookSecret(bytes: SecretBytes(key)))
    let signature = secret.signature(
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: Array(#"{"test": 2432232314}"#.utf8))
    #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    #expect("\(secret)" == "<redacted>" && secret.revealed == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    #expect(WebhookSecret(bytes: SecretBytes(randomCount: 23)) == nil)
    #expect(WebhookSecret(bytes: SecretBytes(randomCount: 65)) == nil)
  }
}

@Suite("Webhooks, through a real database to a real receiver")
struct WebhookTests {
  private static func addEndpoint(
    _ harness: MailerHarness, _ url: String, finalOnly: Bool = false, _ secret: WebhookSecret = WebhookSecret()
  ) throws {
    let id = "we_0123456789abcdef"
    let sealed = try ColumnSeal(MailerHarness.keys).seal(
      secret.bytes, for: WebhookSecret.place(tenantID: "acme", endpointID: id))
    try harness.database.execute(
      """
      SELECT emailmcp.add_webhook('acme', '\(id)', '\(url)', \(finalOnly), decode('\(Hex.encode(sealed))', 'hex'))
      """)
  }

  private static func types(_ receiver: ScriptedGmail) throws -> [String] {
    try receiver.requests.map { try JSONValue(parsing: $0.body)["type"]?.stringValue ?? "" }
  }

  @Test("Every status of a mail arrives, signed, in order, though the first attempt fails")
  func statuses() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      receiver.script = { number, _ in number == 1 ? .status(500) : .status(204) }
      let secret = WebhookSecret()
      try Self.addEndpoint(harness, try receiver.start() + "/hook?x=1", secret)
      let sent = try await harness.send { $0.metadata = WireMap([("deal", "7")]) }
      // The other events of this mail wait behind the first one.
      #expect(
        try await harness.eventually {
          try harness.value("SELECT max(last_status) FROM webhook_deliveries") == "500"
        })
      #expect(receiver.requests.count == 1)
      try harness.database.execute("UPDATE webhook_deliveries SET next_at = now()")
      #expect(
        try await harness.eventually {
          try harness.value("SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'") == "2"
        })
      #expect(try Self.types(receiver) == ["message.sending", "message.sending", "message.success"])
      #expect(receiver.requests[0].fields["webhook-id"] == receiver.requests[1].fields["webhook-id"])
      let last = try #require(receiver.requests.last)
      #expect(last.path == "/hook?x=1" && last.fields["content-type"] == "application/json")
      let time = try #require(last.fields["webhook-timestamp"].flatMap { Int64($0) })
      #expect(
        last.fields["webhook-signature"]
          == secret.signature(id: last.fields["webhook-id"] ?? "", timestamp: time, body: last.body))
      let data = try JSONValue(parsing: last.body)["data"]
      #expect(data?["id"]?.stringValue == sent.id && data?["message_id"]?.stringValue == sent.messageID)
      #expect(data?["metadata"]?["deal"]?.stringValue == "7" && data?["user_id"]?.stringValue == "ann")
      receiver.stop()
    }
  }

  @Test("Where nothing listens, the delivery says so")
  func nobodyThere() async throws {
    try await MailerHarness.run { harness in
      try Self.addEndpoint(harness, "http://127.0.0.1:1/", finalOnly: true)
      _ = try await harness.send()
      #expect(
        try await harness.eventually {
          try harness.value("SELECT last_error FROM webhook_deliveries") == "no address takes a connection"
        })
    }
  }

  @Test("An endpoint that wants the last statuses only gets those; 410 ends it; a rotated secret signs for a while")
  func finalOnly() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      receiver.script = { number, _ in number < 2 ? .status(200) : .status(410) }
      let (old, new) = (WebhookSecret(), WebhookSecret())
      try Self.addEndpoint(harness, try receiver.start(), finalOnly: true, old)
      let sealed = try ColumnSeal(MailerHarness.keys).seal(
        new.bytes, for: WebhookSecret.place(tenantID: "acme", endpointID: "we_0123456789abcdef"))
      try harness.database.execute(
        """
        UPDATE webhook_endpoints SET previous_sealed = secret_sealed, previous_until = now() + interval '1 h',
          secret_sealed = decode('\(Hex.encode(sealed))', 'hex')
        """)
      _ = try await harness.send()
      #expect(try await harness.eventually { receiver.requests.count == 1 })
      #expect(try Self.types(receiver) == ["message.success"])
      func signatures(_ number: Int, _ secrets: [WebhookSecret]) -> Bool {
        let request = receiver.requests[number]
        let time = Int64(request.fields["webhook-timestamp"] ?? "") ?? 0
        let expected = secrets.map {
          $0.signature(id: request.fields["webhook-id"] ?? "", timestamp: time, body: request.body)
        }
        return request.fields["webhook-signature"] == expected.joined(separator: " ")
      }
      #expect(signatures(0, [new, old]))
      try harness.database.execute("UPDATE webhook_endpoints SET previous_until = now() - interval '1 ms'")
      _ = try await harness.send()
      #expect(
        try await harness.eventually {
          try harness.value("SELECT count(*) FROM webhook_endpoints WHERE disabled_at IS NOT NULL") == "1"
        })
      #expect(signatures(1, [new]), "the old secret's time is over")
      #expect(try harness.value("SELECT state FROM webhook_deliveries ORDER BY seq DESC LIMIT 1") == "dead")
      _ = try await harness.send()
      #expect(try harness.value("SELECT count(*) FROM webhook_deliveries") == "2")
      receiver.stop()
    }
  }

  @Test("Accounts: connected, reauth required, disconnected; without an endpoint nothing is written")
  func accounts() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    let connect = """
      INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
      VALUES ('acme', 'u', 'u@example.com', 's', 'active')
      ON CONFLICT (tenant_id, user_id, provider) DO UPDATE SET status = 'active', connected_at = clock_timestamp();
      """
    try database.execute(connect)
    #expect(try database.execute("SELECT count(*) FROM webhook_deliveries")[0][0] == "0")
    try database.execute("SELECT emailmcp.add_webhook('acme', 'we_0123456789abcdef', 'https://x.example/', true, '')")
    try database.execute(connect)
    try database.execute("UPDATE user_email_accounts SET status = 'reauth_required', reauth_reason = 'revoked'")
    try database.execute("UPDATE user_email_accounts SET last_used_at = now()")
    try database.execute("UPDATE user_email_accounts SET status = 'disconnected'")
    let rows = try database.execute(
      "SELECT type, payload::jsonb->'data'->>'email_address' FROM webhook_deliveries ORDER BY seq")
    #expect(rows.map { $0[0] } == ["account.connected", "account.reauth_required", "account.disconnected"])
    #expect(rows.map { $0[1] } == ["u@example.com", "u@example.com", nil])
  }

  @Test("A tenant has at most 16 endpoints; a late result changes nothing; what is done goes after its time")
  func limits() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    for index in 0...16 {
      let id = "we_" + String(repeating: "0", count: 16) + "\(index)"
      let added = try database.execute("SELECT emailmcp.add_webhook('acme', '\(id)', 'https://x.example/', false, '')")
      #expect(added[0][0] == (index < 16 ? "t" : "f"))
    }
    try database.execute("DELETE FROM webhook_endpoints WHERE id <> 'we_00000000000000000'")
    for _ in 0..<2 {
      try database.execute(
        "BEGIN; SELECT set_config('emailmcp.tenant_id', 'acme', true); SELECT emailmcp.tell_platform('acme', 's', 't', true, '{}'); COMMIT"
      )
    }
    let claim = "SELECT seq, attempts FROM emailmcp.claim_webhooks(8, 64, interval '60 s', '{}')"
    let first = try database.execute(claim, as: .service)
    #expect(first.count == 1 && first[0][1] == "1")
    #expect(try database.execute(claim, as: .service).isEmpty, "the second event waits for the first")
    try database.execute("UPDATE webhook_deliveries SET next_at = now()")
    #expect(try database.execute(claim, as: .service)[0][1] == "2", "the claim lapsed")
    let seq = first[0][0]!
    func finish(_ attempt: Int) throws -> String? {
      try database.execute(
        """
        SELECT emailmcp.finish_webhook('acme', 'we_00000000000000000', \(seq), \(attempt), 'delivered', interval '0',
          200, NULL, false)
        """, as: .service)[0][0]
    }
    #expect(try finish(1) == "f")
    #expect(try finish(2) == "t")
    #expect(try finish(2) == "f")
    #expect(try database.execute(claim, as: .service).count == 1)
    #expect(try database.execute(claim.replacing("'{}'", with: "'{we_00000000000000000}'"), as: .service).isEmpty)
    #expect(try database.execute("SELECT emailmcp.purge_webhooks()", as: .service)[0][0] == "0")
    try database.execute("UPDATE webhook_deliveries SET done_at = now() - interval '4 days' WHERE state = 'delivered'")
    #expect(try database.execute("SELECT emailmcp.purge_webhooks()", as: .service)[0][0] == "1")
  }

  @Test("What was looked up is connected to, whatever the name means to others; an address that is dead makes way")
  func pinnedAddresses() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      let port = try receiver.start().split(separator: ":").last ?? ""
      func send(_ addresses: [String]) async throws -> WebhookAnswer {
        // To the system's resolver "localhost" is 127.0.0.1 and ::1.
        let names = WebhookNames(harness.reactor) { _, port in
          try addresses.map { try SocketAddress(numericHost: $0, port: port) }
        }
        return try await harness.sendWebhook(to: "http://localhost:\(port)", allowsLoopback: true, names: names)
      }
      let unreachable = WebhookAnswer.failure("no address takes a connection")
      #expect(try await send(["127.0.0.9"]) == unreachable)
      #expect(receiver.requests.isEmpty)
      #expect(try await send(["127.0.0.9", "127.0.0.1"]) == .status(200, retryAfter: nil))
      #expect(receiver.requests.count == 1)
      // What was sent is not sent to another address too.
      receiver.script = { _, _ in .close }
      #expect(try await send(["127.0.0.1", "127.0.0.1"]) == .failure("connection_lost"))
      #expect(receiver.requests.count == 2)
      #expect(try await send(Array(repeating: "127.0.0.9", count: 4) + ["127.0.0.1"]) == unreachable)
      #expect(try await send(["127.0.0.1", "10.0.0.1"]) == .refused("the address is not public"))
      #expect(receiver.requests.count == 2)
      receiver.stop()
    }
  }

  @Test("A name that changes its mind while a connection lives is connected to anew, or not at all")
  func pinnedConnection() async throws {
    try await MailerHarness.run { harness in
      let (first, second) = (ScriptedGmail(harness.reactor), ScriptedGmail(harness.reactor))
      let port = try #require(try first.start().split(separator: ":").last.flatMap { UInt16($0) })
      _ = try second.start(host: "127.0.0.2", port: port)
      let http = try HTTPSClient(reactor: harness.reactor)
      defer { http.close() }
      func send(to address: String) async throws -> WebhookAnswer {
        let names = WebhookNames(harness.reactor) { _, port in [try SocketAddress(numericHost: address, port: port)] }
        return try await harness.sendWebhook(
          to: "http://localhost:\(port)", allowsLoopback: true, names: names, by: http)
      }
      for _ in 0..<2 { #expect(try await send(to: "127.0.0.1") == .status(200, retryAfter: nil)) }
      #expect(first.requests.count == 2 && first.connectionCount == 1)
      #expect(try await send(to: "10.0.0.1") == .refused("the address is not public"))
      #expect(try await send(to: "127.0.0.2") == .status(200, retryAfter: nil))
      #expect(first.requests.count == 2 && second.requests.count == 1)
      #expect(try await send(to: "127.0.0.1") == .status(200, retryAfter: nil))
      #expect(first.requests.count == 3 && second.requests.count == 1)
      first.stop()
      second.stop()
    }
  }

  @Test("To tell an event again lets no earlier attempt end the new one, and its schedule begins anew")
  func replayKeepsTheFence() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    let id = "we_0123456789abcdef"
    try database.execute(
      """
      SELECT emailmcp.add_webhook('acme', '\(id)', 'https://x.example/', false, '');
      BEGIN; SELECT set_config('emailmcp.tenant_id', 'acme', true);
      SELECT emailmcp.tell_platform('acme', 's', 't', true, '{}'); COMMIT
      """)
    try await database.withPool { pool in
      let store = WebhookStore(pool: pool)
      func claim() async throws -> WebhookStore.Claim {
        try database.execute("UPDATE webhook_deliveries SET next_at = now()")
        let claims = try await store.claim(perEndpoint: 8, perTenant: 16, limit: 64, lease: .seconds(60), busy: [])
        return try #require(claims.first)
      }
      func state() throws -> String? { try database.execute("SELECT state FROM webhook_deliveries")[0][0] }
      let late = try await claim()
      let second = try await claim()
      #expect(late.attempt == 1 && second.attempt == 2 && second.tries == 2)
      try await store.finish(second, .dead(disables: false), status: 500, error: nil, isSlow: false)
      let administration = WebhookAdministration(
        pool: pool, seal: ColumnSeal(MailerHarness.keys), allowsLoopback: false)
      let actor = WebhookAdministration.Actor(tenantID: "acme", credentialID: "key1")
      #expect(try await administration.replay(id, event: nil, by: actor) == 1)
      let third = try await claim()
      #expect(third.attempt == 3 && third.tries == 1)
      try await store.finish(late, .delivered, status: 200, error: nil, isSlow: false)
      #expect(try state() == "pending")
      try await store.finish(third, .delivered, status: 200, error: nil, isSlow: false)
      #expect(try state() == "delivered")
    }
  }

  @Test("A name that does not answer is waited for in vain for a while, once a tenant, and holds up no other")
  func slowNames() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      let url = try receiver.start().replacing("127.0.0.1", with: "localhost")
      var lookUps = 0
      let names = WebhookNames(harness.reactor, timeout: .milliseconds(50)) { host, port in
        lookUps += 1
        if host == "slow.example" { try await harness.reactor.sleep(for: .seconds(3600)) }
        return [try SocketAddress(numericHost: "127.0.0.1", port: port)]
      }
      for _ in 0..<3 {
        let answer = try await harness.sendWebhook(to: "https://slow.example", allowsLoopback: true, names: names)
        #expect(answer == .failure("the name does not resolve"))
      }
      #expect(lookUps == 1)
      let answer = try await harness.sendWebhook(to: url, allowsLoopback: true, names: names)
      #expect(answer == .status(200, retryAfter: nil))
      receiver.stop()
    }
  }

  @Test("A tenant with much that is due and slow leaves room for others, and each endpoint has its share")
  func shares() async throws {
    let database = try await PostgresFixture.database()
    for (tenant, endpoints, events) in [("acme", 3, 20), ("beta", 1, 1), ("gamma", 1, 20)] {
      try database.createTenant(tenant)
      for number in 0..<endpoints {
        let id = "we_" + String(repeating: "0", count: 15) + "\(number)\(tenant)"
        try database.execute("SELECT emailmcp.add_webhook('\(tenant)', '\(id)', 'https://x.example/', false, '')")
      }
      // The longest due are acme's.
      try database.execute(
        """
        BEGIN; SELECT set_config('emailmcp.tenant_id', '\(tenant)', true);
        SELECT emailmcp.tell_platform('\(tenant)', 's' || n, 't', true, '{}') FROM generate_series(1, \(events)) n;
        COMMIT
        """)
    }
    try database.execute("UPDATE webhook_deliveries SET next_at = now() - interval '1 h' WHERE tenant_id = 'acme'")
    func claim(limit: Int, busy: [(String, String, Int)]) throws -> [String: Int] {
      let list = { (column: [String]) in "'{\(column.joined(separator: ","))}'" }
      let rows = try database.execute(
        """
        SELECT tenant_id, endpoint_id FROM emailmcp.claim_webhooks(8, 16, \(limit), interval '60 s',
          \(list(busy.map(\.0))), \(list(busy.map(\.1))), \(list(busy.map { "\($0.2)" })))
        """, as: .service)
      let endpoints = rows.reduce(into: [:]) { $0[$1[1]!, default: 0] += 1 }
      #expect(endpoints.values.allSatisfy { $0 <= 8 })
      return rows.reduce(into: [:]) { $0[$1[0]!, default: 0] += 1 }
    }
    try database.execute("UPDATE webhook_endpoints SET slow = false")
    #expect(try claim(limit: 5, busy: []) == ["acme": 2, "beta": 1, "gamma": 2])
    // What is under way counts: acme has as much as a tenant may have, gamma's endpoint room for one.
    let busy = [
      ("acme", "we_0000000000000000acme", 8), ("acme", "we_0000000000000001acme", 8),
      ("gamma", "we_0000000000000000gamma", 7),
    ]
    #expect(try claim(limit: 64, busy: busy) == ["gamma": 1])
    #expect(try claim(limit: 64, busy: []) == ["acme": 16, "gamma": 8])
  }

  /// A thousand endpoints that never answered held all places, and another tenant's event waited for 14 s.
  @Test("Slow endpoints have half of the places, with unknown ones three quarters, whatever is under way")
  func slowEndpoints() async throws {
    let database = try await PostgresFixture.database()
    for (tenant, slow) in [("slow", "true"), ("new", "NULL"), ("fast", "false")] {
      for number in 1...9 {
        let (name, id) = ("\(tenant)\(number)", "we_\(String(repeating: "0", count: 16))\(tenant)\(number)")
        try database.createTenant(name)
        try database.execute(
          """
          SELECT emailmcp.add_webhook('\(name)', '\(id)', 'https://x.example/', false, '');
          UPDATE webhook_endpoints SET slow = \(slow) WHERE id = '\(id)';
          BEGIN; SELECT set_config('emailmcp.tenant_id', '\(name)', true);
          SELECT emailmcp.tell_platform('\(name)', 's' || n, 't', true, '{}') FROM generate_series(1, 2) n; COMMIT
          """)
      }
    }
    /// - Parameter busy: how much of slow1 and new1 is under way.
    func claim(limit: Int, busy: (slow: Int, new: Int) = (0, 0)) throws -> [String?] {
      // What is slow is longest due, and what is fast has come just now.
      try database.execute(
        """
        UPDATE webhook_deliveries SET next_at = now() - CASE WHEN tenant_id LIKE 'slow%' THEN interval '2 h'
          WHEN tenant_id LIKE 'new%' THEN interval '1 h' ELSE interval '0' END
        """)
      return try database.execute(
        """
        SELECT rtrim(tenant_id, '0123456789'), count(*) FROM emailmcp.claim_webhooks(
          8, 16, \(limit), interval '60 s', '{slow1,new1}', '{we_0000000000000000slow1,we_0000000000000000new1}',
          '{\(busy.slow),\(busy.new)}') GROUP BY 1 ORDER BY 1
        """, as: .service
      ).flatMap { $0 }
    }
    #expect(try claim(limit: 8) == ["fast", "2", "new", "2", "slow", "4"])
    #expect(try claim(limit: 16) == ["fast", "4", "new", "4", "slow", "8"])
    #expect(try claim(limit: 12, busy: (4, 0)) == ["fast", "4", "new", "4", "slow", "4"], "16 in all")
    #expect(try claim(limit: 8, busy: (8, 0)) == ["fast", "4", "new", "4"])
    #expect(try claim(limit: 8, busy: (4, 4)) == ["fast", "4", "slow", "4"])
    #expect(try claim(limit: 4, busy: (6, 6)) == ["fast", "4"])
    try database.execute("DELETE FROM webhook_deliveries WHERE tenant_id NOT LIKE 'slow%'")
    #expect(try claim(limit: 16) == ["slow", "8"], "what is left free is for what comes")
  }

  @Test("An endpoint is slow by its last attempt: by how long that took, or in the release before by having no answer")
  func slow() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    let id = "we_0123456789abcdef"
    try database.execute(
      """
      SELECT emailmcp.add_webhook('acme', '\(id)', 'https://x.example/', false, '');
      BEGIN; SELECT set_config('emailmcp.tenant_id', 'acme', true);
      SELECT emailmcp.tell_platform('acme', 's', 't', true, '{}'); COMMIT
      """)
    func slow(_ status: String, _ slow: String = "", attempt: Int = 0) throws -> [String?] {
      try database.execute(
        """
        SELECT emailmcp.finish_webhook('acme', '\(id)', seq, \(attempt), 'pending', interval '0', \(status), NULL, false
          \(slow)) FROM webhook_deliveries
        """)
      return try database.execute("SELECT slow FROM webhook_endpoints")[0]
    }
    #expect(try slow("200", attempt: 9) == [nil], "a late result changes nothing")
    for (status, said, expected) in [
      ("200", ", true", "t"), ("500", ", false", "f"), ("NULL", ", false", "f"), ("NULL", "", "t"), ("500", "", "f"),
    ] {
      #expect(try slow(status, said) == [expected])
    }
  }

  /// Its body counted as the answer, so that one without an end was none, and the event was told again and again.
  @Test("The status decides, whatever becomes of the body", arguments: ["drips", "breaks off", "is too long", "ends"])
  func bodies(how: String) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let receiver = ScriptedGmail(harness.reactor)
      receiver.script = { _, _ in
        .head(
          "HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: \(how == "ends" ? 4 : 99_999)\r\n\r\n"
            + String(repeating: "body", count: how == "is too long" ? 10_000 : 1), closes: how == "breaks off")
      }
      let url = try receiver.start()
      #expect(try await harness.sendWebhook(to: url, allowsLoopback: true) == .status(503, retryAfter: 7))
      #expect(receiver.requests.count == 1)
      receiver.stop()
    }
  }

  @Test("A fast endpoint is told as fast as it answers: what ends makes room at once, not at the next look")
  func pace() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let receiver = ScriptedGmail(harness.reactor)
      receiver.script = { _, _ in
        harness.reactor.schedule(after: .milliseconds(20)) { receiver.release() }
        return .held
      }
      try Self.addEndpoint(harness, try receiver.start())
      // Two of each subject.
      try harness.database.execute(
        """
        BEGIN; SELECT set_config('emailmcp.tenant_id', 'acme', true);
        SELECT emailmcp.tell_platform('acme', 's' || n % 40, 't', true, '{}') FROM generate_series(1, 80) n;
        COMMIT
        """)
      // The next look by itself is too late for this test.
      let delivered = try await harness.withWebhookWorker(interval: .seconds(3600)) {
        try await harness.eventually { receiver.requests.count == 80 }
      }
      #expect(delivered, "\(receiver.requests.count) of 80")
      #expect(receiver.mostAtOnce == WebhookWorker.inFlightPerEndpoint)
      receiver.stop()
    }
  }

  @Test("What was done long ago goes at once, however much it is")
  func purge() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try database.execute("SELECT emailmcp.add_webhook('acme', 'we_0123456789abcdef', 'https://x.example/', true, '')")
    try database.execute(
      """
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, state, done_at)
      SELECT 'acme', 'we_0123456789abcdef', 'msg', 's', 't', '{}', 'delivered',
        now() - make_interval(days => CASE WHEN n <= 10001 THEN 4 ELSE 2 END)
      FROM generate_series(1, 10004) n
      """)
    try await database.withPool { try await WebhookStore(pool: $0).purge() }
    #expect(try database.execute("SELECT count(*) FROM webhook_deliveries")[0][0] == "3")
  }

  @Test("What was given up and is kept costs a purge nothing")
  func keptDead() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try database.execute(
      """
      SELECT emailmcp.add_webhook('acme', 'we_0123456789abcdef', 'https://x.example/', true, '');
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload, state, done_at)
      SELECT 'acme', 'we_0123456789abcdef', 'msg', 's', 't', '{}', 'dead',
        now() - make_interval(days => CASE n WHEN 1 THEN 31 ELSE 10 END)
      FROM generate_series(1, 20000) n
      """)
    // The first in a session reads the catalogue.
    let plan = try database.execute(
      """
      SELECT emailmcp.purge_webhooks();
      EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) SELECT emailmcp.purge_webhooks()
      """, as: .service)
    let line = try #require(plan.compactMap { $0[0] }.first { $0.contains("Buffers: shared") })
    let pages = line.split(separator: " ").compactMap { $0.hasPrefix("hit=") ? Int($0.dropFirst(4)) : nil }
    #expect(try #require(pages.first) < 100, "\(line)")
    #expect(try database.execute("SELECT FROM webhook_deliveries").count == 19_999)
  }

  @Test("Without the development flag nothing goes to this machine, by no way to write it")
  func serverSideRequests() async throws {
    try await MailerHarness.run { harness in
      let receiver = ScriptedGmail(harness.reactor)
      let base = try receiver.start()
      let port = base.split(separator: ":").last ?? ""
      for (host, allowed) in [
        ("http://127.0.0.1:\(port)", false), ("https://127.0.0.1:\(port)", false), ("https://localhost:\(port)", false),
        ("https://[::ffff:127.0.0.1]:\(port)", false), ("https://[::1]:\(port)", false),
        ("https://169.254.169.254", false), ("https://0x7f000001:\(port)", false),
        ("https://2130706433:\(port)", false),
        ("https://127.1:\(port)", false), ("https://10.0.0.1", true), ("https://[::ffff:10.0.0.1]", true),
      ] {
        let answer = try await harness.sendWebhook(to: host, allowsLoopback: allowed)
        guard case .refused = answer else {
          Issue.record("\(host): \(answer)")
          continue
        }
      }
      #expect(receiver.requests.isEmpty)
      #expect(try await harness.sendWebhook(to: base, allowsLoopback: true) == .status(200, retryAfter: nil))
      receiver.script = { _, _ in .status(302, headers: "Location: \(base)/elsewhere\r\n") }
      #expect(try await harness.sendWebhook(to: base, allowsLoopback: true) == .status(302, retryAfter: nil))
      receiver.script = { _, _ in .status(200, message: String(repeating: "x", count: WebhookSender.maximumAnswer)) }
      #expect(try await harness.sendWebhook(to: base, allowsLoopback: true) == .status(200, retryAfter: nil))
      receiver.script = { _, _ in .status(503, headers: "Retry-After: 7\r\n") }
      #expect(try await harness.sendWebhook(to: base, allowsLoopback: true) == .status(503, retryAfter: 7))
      receiver.script = { _, _ in .close }
      #expect(try await harness.sendWebhook(to: base, allowsLoopback: true) == .failure("connection_lost"))
      #expect(receiver.requests.count == 5)
      receiver.stop()
    }
  }
}

extension MailerHarness {
  /// The worker alone.
  fileprivate func withWebhookWorker<Value>(
    interval: Duration, _ body: () async throws -> Value
  ) async throws -> Value {
    let pool = PostgresPool(try PostgresConfiguration(url: database.url()), reactor: reactor)
    let http = try HTTPSClient(reactor: reactor)
    defer { http.close() }
    let worker = WebhookWorker(
      reactor: reactor, store: WebhookStore(pool: pool),
      sender: WebhookSender(
        http: http, names: WebhookNames(reactor), seal: ColumnSeal(Self.keys), allowsLoopback: true),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, interval: interval)
    worker.start()
    let result: Result<Value, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    await worker.stop()
    await pool.close()
    return try result.get()
  }

  /// The sender alone.
  fileprivate func sendWebhook(
    to url: String, allowsLoopback: Bool, names: WebhookNames? = nil, by client: HTTPSClient? = nil
  ) async throws -> WebhookAnswer {
    let secret = WebhookSecret()
    let seal = ColumnSeal(Self.keys)
    let http = if let client { client } else { try HTTPSClient(reactor: reactor) }
    defer { if client == nil { http.close() } }
    let sender = WebhookSender(
      http: http, names: names ?? WebhookNames(reactor), seal: seal, allowsLoopback: allowsLoopback)
    return try await sender.send(
      WebhookStore.Claim(
        tenantID: "acme", endpointID: "we_1", sequence: 1, id: "msg_1", type: "t", payload: Array("{}".utf8),
        attempt: 1, tries: 1, url: url,
        sealedSecret: try seal.seal(secret.bytes, for: WebhookSecret.place(tenantID: "acme", endpointID: "we_1")),
        previousSecret: nil))
  }
}
