import CivilTime
import EventLoop
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

/// How mail is taken, by the functions that take it. Times are in minutes from now.
@Suite("The functions that accept mail")
struct QueueAcceptTests {
  // MARK: The mailbox

  private func acquire(_ queue: QueueTables, _ jobs: [(mailbox: String, job: Int, recipients: Int)]) throws -> [String]
  {
    func list(_ values: [String]) -> String { "ARRAY[\(values.joined(separator: ", "))]" }
    return try queue.rows(
      """
      SELECT right(taken::text, 1) FROM unnest(emailmcp.acquire_mailboxes(\(list(jobs.map { "'\($0.mailbox)'" })),
        \(list(jobs.map { "id(\($0.job))" })), \(list(jobs.map { "\($0.recipients)" })), interval '15 min', 60, 0, 10)) AS taken
      ORDER BY 1
      """, as: .service)
  }

  @Test(
    "A mailbox is taken where no request is under way, no pause and no older interactive mail, and bulk mail or not")
  func acquire() async throws {
    let queue = try await QueueTables()
    for (name, columns) in [
      ("1", ["usage_hour": "date_bin('1 hour', now(), 'epoch') - interval '30 hours'", "usage_now": "10"]),
      ("2", ["in_flight_until": "at(1)"]), ("3", ["in_flight_until": "at(-1)"]),
      ("4", ["next_free_at": "at(1)"]), ("5", ["next_free_at": "at(-1)"]), ("6", ["urgent_at": "at(-1)"]),
      ("7", ["urgent_at": "at(1)"]), ("8", ["wake_at": "at(-1)"]),
    ] as [(String, [String: String])] {
      try queue.mailbox(name, columns.merging(["paused_reason": "'old'"]) { $1 })
    }
    #expect(try acquire(queue, (1...9).map { ("\($0)", $0, 1) }) == ["1", "3", "5", "7", "8", "9"])
    #expect(
      try queue.rows(
        """
        SELECT DISTINCT minutes(in_flight_until), minutes(next_free_at), paused_reason, usage_now,
          usage_hour = date_bin('1 hour', now(), 'epoch'), right(in_flight_job::text, 1) = google_sub
        FROM mailboxes WHERE google_sub IN ('1', '3', '5', '7', '8', '9')
        """) == ["15 1 - 1 t t"])
    #expect(
      try queue.rows(
        "SELECT DISTINCT in_flight_job, usage_now, paused_reason FROM mailboxes WHERE google_sub IN ('2', '4', '6')")
        == ["- 0 old"])
  }

  @Test("Of several mails for one mailbox the first takes it")
  func acquireFirst() async throws {
    let queue = try await QueueTables()
    #expect(try acquire(queue, [("box", 3, 1), ("other", 4, 1), ("box", 1, 2), ("box", 2, 3)]) == ["3", "4"])
    #expect(try queue.rows("SELECT google_sub, usage_now FROM mailboxes ORDER BY 1") == ["box 1", "other 1"])
  }

  @Test(
    "The day's room is used to the last recipient, and not beyond; what Gmail taught counts while it holds",
    arguments: [
      (8, 2, "NULL", -1, true), (8, 3, "NULL", -1, false), (3, 2, "5", 1, true), (3, 3, "5", 1, false),
      (3, 3, "5", -1, true), (9, 2, "20", 1, false), (0, 10, "5", 1, true),
    ])
  func room(used: Int, recipients: Int, learnt: String, until: Int, isTaken: Bool) async throws {
    let queue = try await QueueTables()
    try queue.mailbox(
      "box",
      [
        "usage_hour": "date_bin('1 hour', now(), 'epoch')", "usage_before": "\(used / 2)",
        "usage_now": "\(used - used / 2)",
        "day_limit": learnt, "day_limit_until": "at(\(until))",
      ])
    #expect(try acquire(queue, [("box", 1, recipients)]) == (isTaken ? ["1"] : []))
    let after = isTaken ? used + recipients : used
    #expect(try queue.rows("SELECT usage_before + usage_now FROM mailboxes") == ["\(after)"])
  }

  @Test("An hour that is over is closed: the day is the 24 hours before this one, and what this one has")
  func rollUsage() async throws {
    let queue = try await QueueTables()
    let hour = "date_bin('1 hour', now(), 'epoch')"
    try queue.mailbox("box", ["usage_hour": "\(hour) - interval '1 hour'", "usage_now": "5", "usage_before": "99"])
    try queue.mailbox("now", ["usage_hour": hour, "usage_now": "5", "usage_before": "99"])
    try queue.mailbox("idle", ["usage_hour": "\(hour) - interval '2 hours'", "usage_before": "99"])
    try queue.mailbox("another", ["usage_hour": "\(hour) - interval '1 hour'", "usage_now": "5"])
    try queue.rows(
      """
      INSERT INTO mailbox_usage SELECT 'box', \(hour) - h * interval '1 hour', n
      FROM (VALUES (1, 1), (24, 10), (25, 100)) AS u (h, n)
      """)
    for _ in 0..<2 {
      try queue.rows("SELECT FROM emailmcp.roll_usage(ARRAY['box', 'now', 'idle', 'missing'], \(hour))", as: .service)
      #expect(
        try queue.rows("SELECT google_sub, usage_hour = \(hour), usage_now, usage_before FROM mailboxes ORDER BY 1")
          == [
            "another f 5 0", "box t 0 16", "idle t 0 0", "now t 5 99",
          ])
    }
    #expect(
      try queue.rows("SELECT google_sub, recipients FROM mailbox_usage ORDER BY hour") == [
        "box 100", "box 10", "box 6",
      ])
  }

  @Test(
    "The day frees with its oldest hours, one hour after another, as soon as enough has left it",
    arguments: [(1, 1), (2, 1), (3, 2), (5, 2), (6, 25)])
  func dayFrees(missing: Int, hours: Int) async throws {
    let queue = try await QueueTables()
    try queue.rows(
      """
      INSERT INTO mailbox_usage SELECT 'box', date_bin('1 hour', now(), 'epoch') - h * interval '1 hour', n
      FROM (VALUES (25, 9), (24, 2), (23, 3)) AS u (h, n)
      """)
    #expect(
      try queue.rows(
        """
        SELECT extract(epoch FROM emailmcp.day_frees_at('box', h, \(missing)) - h)::int / 3600
        FROM date_bin('1 hour', now(), 'epoch') AS h
        """, as: .service) == ["\(hours)"])
  }

  // MARK: The mail

  /// Accepts mail of ann's to be sent at once, unless it is changed.
  private final class Acceptor {
    private let harness: MailerHarness
    private let store: MailStore
    private var number: UInt64 = 0

    init(_ harness: MailerHarness, _ store: MailStore) { (self.harness, self.store) = (harness, store) }

    func accept(
      key: UInt8? = nil, user: String = "ann", _ change: (inout MailStore.Acceptance) -> Void = { _ in },
      recipients: (inout Mailer.SendMessageRequest) -> Void = { _ in }
    ) async throws -> MailStore.Accepted {
      number += 1
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let mailKey = MailKey(tenantID: "acme", userID: user, id: UniqueID(at: now, random: (1, number)))
      var acceptance = try harness.acceptance(of: mailKey)
      acceptance.message = try OutgoingMessage(
        MessageDraft(MailerHarness.mail(recipients)), now: .now())
      (acceptance.isAwaited, acceptance.worker) = (true, "w")
      acceptance.idempotency = key.map {
        MailStore.Idempotency(
          keyHash: [UInt8](repeating: $0, count: 32), fingerprint: [UInt8](repeating: UInt8(number), count: 32))
      }
      change(&acceptance)
      return try await store.accept(acceptance)
    }

    /// Both at once, in one transaction.
    func accept(_ first: (key: UInt8?, user: String), _ second: (key: UInt8?, user: String)) async throws
      -> [MailStore.Accepted]
    {
      let tasks = [first, second].map { mail in
        harness.reactor.spawn { try await self.accept(key: mail.key, user: mail.user) }
      }
      return [try await tasks[0].value, try await tasks[1].value]
    }

    func value(_ sql: String) throws -> String? { try harness.value(sql) }
  }

  private func withAcceptor(_ body: @escaping @Sendable (Acceptor) async throws -> Void) async throws {
    try await MailerHarness.run(mailers: 0, users: ["ann", "bea"]) { harness in
      try await harness.withStore { store in try await body(Acceptor(harness, store)) }
    }
  }

  private static let mailbox = "SELECT usage_now || ' ' || coalesce(in_flight_job::text, 'free') FROM mailboxes"

  @Test(
    "What is refused takes no mailbox, uses up no key and leaves no mail",
    arguments: ["to", "cc", "bcc", "grant", "account", "reauth"])
  func refused(why: String) async throws {
    try await withAcceptor { acceptor in
      _ = try acceptor.value(
        "INSERT INTO suppressions (tenant_id, entry, source) VALUES ('acme', 'listed.example', 'platform')")
      if why == "reauth" { _ = try acceptor.value("UPDATE user_email_accounts SET status = 'reauth_required'") }
      let answer = try await acceptor.accept(key: 1) {
        switch why {
        case "grant":
          $0.account = MailAccount(googleSub: "sub-ann", grantVersion: 2, address: $0.account.address)
        case "account":
          $0.account = MailAccount(googleSub: "sub-bob", grantVersion: 1, address: $0.account.address)
        default: break
        }
      } recipients: {
        let listed = [Mailer.Address { $0.email = "x@listed.example" }]
        switch why {
        case "to": $0.to = listed
        case "cc": $0.cc = listed
        case "bcc": $0.bcc = listed
        default: break
        }
      }
      #expect(answer == (["to", "cc", "bcc"].contains(why) ? .suppressed : .accountChanged))
      #expect(try acceptor.value("SELECT count(*) FROM idempotency_keys") == "0")
      #expect(try acceptor.value("SELECT count(*) FROM send_jobs") == "0")
      #expect(try acceptor.value(Self.mailbox) == "0 free")
      _ = try acceptor.value("UPDATE user_email_accounts SET status = 'active'")
      #expect(try await acceptor.accept(key: 1) == .sending(epoch: 1))
    }
  }

  @Test("A repeated request gives the mailbox back that it had taken, its recipients with it")
  func duplicate() async throws {
    try await withAcceptor { acceptor in
      #expect(try await acceptor.accept(key: 1) { $0.worker = nil } == .queued)
      _ = try acceptor.value(
        "DELETE FROM send_jobs; UPDATE mailboxes SET wake_at = NULL, urgent_at = NULL, waiting = false")
      #expect(try await acceptor.accept(key: 1) == .duplicate)
      #expect(try acceptor.value(Self.mailbox) == "0 free")
      #expect(try acceptor.value("SELECT count(*) FROM email_logs") == "1")
      #expect(
        try acceptor.value("SELECT get_byte(fingerprint, 0) FROM idempotency_keys") == "1", "the first one's stays")
    }
  }

  @Test("A repeated request leaves others their mailboxes that come with it")
  func duplicateAmongOthers() async throws {
    try await withAcceptor { acceptor in
      let first = try await acceptor.accept(key: 1) { $0.worker = nil }
      #expect(first == .queued)
      _ = try acceptor.value("DELETE FROM send_jobs; UPDATE mailboxes SET urgent_at = NULL")
      #expect(try await acceptor.accept((1, "ann"), (nil, "bea")) == [.duplicate, .sending(epoch: 1)])
      #expect(
        try acceptor.value(
          "SELECT string_agg((in_flight_job IS NULL)::text, ' ' ORDER BY google_sub) FROM mailboxes") == "true false")
    }
  }

  @Test("A key that has expired serves again, for as long as a new one")
  func expiredKey() async throws {
    try await withAcceptor { acceptor in
      #expect(try await acceptor.accept(key: 1) { $0.isAwaited = false } == .sending(epoch: 1))
      let key = """
        SELECT get_byte(k.fingerprint, 0) || ' ' || coalesce(k.response_status::text, '-') || ' '
          || (k.expires_at > now() + interval '6 days') || ' ' || (l.id = (SELECT max(id::text)::uuid FROM email_logs))
        FROM idempotency_keys k JOIN email_logs l ON l.id = k.message_id
        """
      #expect(try acceptor.value(key) == "1 202 true true")
      _ = try acceptor.value(
        "UPDATE idempotency_keys SET expires_at = now() - interval '1 s'; DELETE FROM send_jobs; DELETE FROM mailboxes")
      #expect(try await acceptor.accept(key: 1) == .sending(epoch: 1))
      #expect(try acceptor.value(key) == "2 - true true")
    }
  }

  @Test("What cannot go at once and has no payload is not kept, and may come again with its key")
  func busy() async throws {
    try await withAcceptor { acceptor in
      let first = try await acceptor.accept()
      #expect(first == .sending(epoch: 1))
      #expect(try await acceptor.accept(key: 1) { $0.payload = nil } == .busy)
      #expect(try acceptor.value("SELECT count(*) FROM idempotency_keys") == "0")
      #expect(try await acceptor.accept(key: 1) == .queued)
    }
  }

  @Test("Mail that goes at once is stored as its worker's, its intent recorded; mail that waits as nobody's")
  func stored() async throws {
    try await withAcceptor { acceptor in
      let first = try await acceptor.accept { $0.payload = nil }
      #expect(first == .sending(epoch: 1))
      #expect(try await acceptor.accept() == .queued)
      #expect(
        try acceptor.value(
          """
          SELECT string_agg(concat_ws(' ', l.status, s.epoch, s.lease_owner, s.intent, s.intent_at IS NOT NULL,
            s.lease_until > now() + interval '14 s', s.payload IS NULL, s.class), '; ' ORDER BY l.id)
          FROM send_jobs s JOIN email_logs l USING (tenant_id, user_id, id)
          """) == "sending 1 w t t t t 0; queued 0 f f f 0")
      #expect(
        try acceptor.value("SELECT wake_at = in_flight_until AND urgent_at = wake_at AND waiting FROM mailboxes") == "t"
      )
    }
  }
}
