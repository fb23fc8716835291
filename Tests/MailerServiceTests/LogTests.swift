import CivilTime
import EventLoop
import PostgresClient
import RPCRuntime
import SecretVault
import ServiceContracts
import TLSSession
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("The log, batches and watches")
struct LogTests {
  @Test("Pages go newest first without gap or repeat, and a cursor is bound to its user and filter")
  func pages() async throws {
    try await MailerHarness.run(users: ["ann", "bea"]) { harness in
      var sent: [String] = []
      for number in 0..<7 {
        sent.append(try await harness.send { $0.subject = "Mail \(number) 100%_a" }.id)
      }
      var request = Mailer.ListMessagesRequest { $0.limit = 3 }
      var listed: [String] = []
      var cursors: [String] = []
      repeat {
        let page = try await harness.call(Mailer.listMessages, request)
        listed += page.messages.map(\.id)
        request.cursor = page.nextCursor
        cursors.append(page.nextCursor)
      } while !request.cursor.isEmpty
      #expect(listed == Array(sent.reversed()))
      #expect(cursors.count == 3)
      let all = try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest { $0.limit = 7 })
      #expect(all.messages.count == 7 && all.nextCursor.isEmpty)
      let stolen = Mailer.ListMessagesRequest { $0.cursor = cursors[0] }
      let refusals = [
        await harness.reason { _ = try await harness.call(Mailer.listMessages, stolen, user: "bea") },
        await harness.reason {
          _ = try await harness.call(
            Mailer.listMessages,
            Mailer.ListMessagesRequest {
              $0.cursor = cursors[0]
              $0.subject = "Mail"
            })
        },
        await harness.reason {
          _ = try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest { $0.cursor = "x" })
        },
      ]
      #expect(refusals == ["invalid_cursor", "invalid_cursor", "invalid_cursor"])
      let other = try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest(), user: "bea")
      #expect(other.messages.isEmpty)
    }
  }

  @Test(
    "A cursor with a time that the database does not take is no cursor of ours",
    arguments: [Int64(bitPattern: 0x8181_8181_8181_8181), .min, .min + 1, .max, 1 << 62])
  func tamperedCursor(time: Int64) async throws {
    try await MailerHarness.run { harness in
      for _ in 0..<2 { _ = try await harness.send() }
      let page = try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest { $0.limit = 1 })
      var cursor = try #require(Base64.decode(page.nextCursor, .urlSafe))
      withUnsafeBytes(of: time.bigEndian) { cursor.replaceSubrange(8..<16, with: $0) }
      let request = Mailer.ListMessagesRequest { $0.cursor = Base64.encode(cursor, .urlSafe) }
      #expect(await harness.reason { _ = try await harness.call(Mailer.listMessages, request) } == "invalid_cursor")
    }
  }

  @Test("Log searches that hang hold up no mail")
  func slowSearches() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send()
      try harness.database.execute(
        """
        CREATE POLICY slow ON email_logs AS RESTRICTIVE FOR SELECT USING (
          CASE WHEN current_query() LIKE '%ILIKE%' THEN pg_advisory_xact_lock_shared(42) IS NOT NULL ELSE true END)
        """)
      try await harness.asOwner { owner in
        try await owner.query("SELECT pg_advisory_xact_lock(42)")
        let searches = (0..<4).map { _ in
          harness.reactor.spawn {
            _ = try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest { $0.subject = "a" })
          }
        }
        let hanging = """
          SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
          """
        let allHang = try await harness.eventually { try harness.value(hanging) == "4" }
        #expect(allHang)
        #expect(try await harness.send().status == .success)
        #expect(try harness.value(hanging) == "4")
        for search in searches { search.cancel() }
        for search in searches { _ = await search.result }
      }
    }
  }

  @Test("Filters are taken literally: status, recipient in any field, part of the subject, time")
  func filters() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send { $0.subject = "100% sure" }
      _ = try await harness.send {
        $0.subject = "1000 sure"
        $0.bcc = [Mailer.Address { $0.email = "Eve@Example.com" }]
      }
      harness.gmail.script = { _, _ in .status(400, reason: "invalidArgument") }
      _ = try await harness.send { $0.subject = "Refused" }
      func subjects(_ change: (inout Mailer.ListMessagesRequest) -> Void) async throws -> [String] {
        try await harness.call(Mailer.listMessages, Mailer.ListMessagesRequest(change)).messages.map(\.subject)
      }
      #expect(try await subjects { $0.subject = "100%" } == ["100% sure"])
      #expect(try await subjects { $0.subject = "SURE" } == ["1000 sure", "100% sure"])
      #expect(try await subjects { $0.to = "eve@example.COM" } == ["1000 sure"])
      #expect(try await subjects { $0.status = .failed } == ["Refused"])
      #expect(
        try await subjects { $0.start = DateOrTime { $0.value = .time(ProtobufTimestamp(.now() + .seconds(60))) } }
          == [])
      let today = Timestamp.now().date.description
      #expect(
        try await subjects {
          $0.start = DateOrTime { $0.value = .date(today) }
          $0.end = DateOrTime { $0.value = .date(today) }
        }.count == 3)
      let refusal = await harness.reason { _ = try await subjects { $0.limit = 201 } }
      #expect(refusal == "invalid_request")
      let reversed = await harness.reason {
        _ = try await subjects {
          $0.start = DateOrTime { $0.value = .time(ProtobufTimestamp(.now())) }
          $0.end = DateOrTime { $0.value = .time(ProtobufTimestamp(.now() + .seconds(-1))) }
        }
      }
      #expect(reversed == "invalid_request")
      let days = await harness.reason {
        _ = try await subjects {
          $0.start = DateOrTime { $0.value = .date("2026-12-02") }
          $0.end = DateOrTime { $0.value = .date("2026-12-01") }
        }
      }
      #expect(days == "invalid_request")
    }
  }

  @Test("A message of another user is not found")
  func foreign() async throws {
    try await MailerHarness.run(users: ["ann", "bea"]) { harness in
      let sent = try await harness.send()
      let refusal = await harness.reason {
        _ = try await harness.call(Mailer.getMessage, Mailer.GetMessageRequest { $0.id = sent.id }, user: "bea")
      }
      #expect(refusal == "not_found")
      let nonsense = await harness.reason {
        _ = try await harness.call(Mailer.getMessage, Mailer.GetMessageRequest { $0.id = "1" })
      }
      #expect(nonsense == "not_found")
    }
  }

  @Test("A watch tells of a mail that is cancelled, however old it is")
  func watchCancelled() async throws {
    try await MailerHarness.run { harness in
      await harness.stopMailer()
      let accepted = Timestamp(milliseconds: (Timestamp.now() - .seconds(3600)).milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: accepted, random: (1, 1)))
      try await harness.abandon(key, hasIntent: false)
      try harness.database.execute(
        "UPDATE send_jobs SET lease_owner = NULL, lease_until = NULL, run_at = now() + interval '1 hour'")
      try await harness.startMailer()
      let call = try harness.stream(Mailer.watchMessages, Mailer.WatchMessagesRequest())
      var events = call.makeAsyncIterator()
      guard case .started = try await events.next()?.event else {
        Issue.record("the first event is not the start")
        return
      }
      _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = key.id.description })
      let timer = harness.reactor.schedule(after: .seconds(10)) { call.cancel() }
      guard case .message(let record)? = try await events.next()?.event else {
        Issue.record("nothing is told")
        return
      }
      timer.cancel()
      #expect(record.id == key.id.description && record.status == .cancelled)
      call.cancel()
    }
  }

  @Test("A watch by ids tells of those mails alone, and takes a thousand of them")
  func watchByID() async throws {
    try await MailerHarness.run { harness in
      let later = ProtobufTimestamp(.now() + .seconds(3600))
      let watched = try await harness.send { $0.sendAt = later }
      let other = try await harness.send { $0.sendAt = later }
      let unknown = [String](repeating: "00000000-0000-7000-8000-000000000000", count: MessageWatches.mostIDs - 1)
      let call = try harness.stream(
        Mailer.watchMessages, Mailer.WatchMessagesRequest { $0.ids = [watched.id] + unknown })
      var events = call.makeAsyncIterator()
      guard case .started = try await events.next()?.event else {
        Issue.record("the first event is not the start")
        return
      }
      for id in [other.id, watched.id] {
        _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = id })
      }
      let timer = harness.reactor.schedule(after: .seconds(10)) { call.cancel() }
      guard case .message(let record)? = try await events.next()?.event else {
        Issue.record("nothing is told")
        return
      }
      timer.cancel()
      #expect(record.id == watched.id && record.status == .cancelled)
      call.cancel()
      let many = try harness.stream(
        Mailer.watchMessages, Mailer.WatchMessagesRequest { $0.ids = [watched.id, other.id] + unknown })
      #expect(await harness.reason { for try await _ in many {} } == "invalid_request")
    }
  }

  @Test("What changed of a whole tenant is found without reading its log", arguments: [nil, "u7"])
  func watchCost(user: String?) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try harness.database.execute(
        """
        INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, status, sent_at)
        SELECT 'acme', 'u' || n % 100, now() - interval '1 day' + n * interval '1 s',
          ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'a@example.com', 'success',
          now() - interval '1 day' + n * interval '1 s'
        FROM generate_series(1, 50000) AS n;
        """)
      let partitions = try harness.database.execute(
        "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'email_logs'::regclass")
      for partition in partitions { try harness.database.execute("VACUUM ANALYZE \(partition[0]!)") }
      try await harness.withStore { store in
        let filter = MailStore.ChangeFilter(tenantID: "acme", userID: user, ids: nil)
        let (sql, parameters) = MailStore.changes(
          filter, after: .init(at: .now() - .seconds(86_400 - 49_990)), pending: true, limit: 1000)
        let plan = try await store.pool.query(
          Statement(composed: "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) \(sql)"), parameters, tenant: "acme")
        let lines: [String] = try plan.map { try $0[0] }
        let line = try #require(lines.first { $0.contains("Buffers: shared") })
        let pages = line.split(whereSeparator: { " =".contains($0) }).compactMap { Int($0) }.reduce(0, +)
        #expect(pages < 150, "\(lines.joined(separator: "\n"))")
      }
    }
  }

  @Test("A watch tells of every change, however many come between two looks, and of each once")
  func watchMany() async throws {
    try await MailerHarness.run { harness in
      let call = try harness.stream(Mailer.watchMessages, Mailer.WatchMessagesRequest())
      var events = call.makeAsyncIterator()
      guard case .started = try await events.next()?.event else {
        Issue.record("the first event is not the start")
        return
      }
      let count = MessageWatches.batch + 100
      // Of each kind, many at the same moment.
      try harness.database.execute(
        """
        INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, status, sent_at, cancelled_at)
        SELECT 'acme', 'ann', now() - interval '1 day', gen_random_uuid(), 'a@example.com',
          CASE WHEN n % 2 = 0 THEN 'success' ELSE 'cancelled' END, CASE WHEN n % 2 = 0 THEN now() END,
          CASE WHEN n % 2 <> 0 THEN now() END
        FROM generate_series(1, \(2 * count)) AS n
        """)
      let timer = harness.reactor.schedule(after: .seconds(60)) { call.cancel() }
      var told: Set<String> = []
      while told.count < 2 * count {
        guard case .message(let record)? = try await events.next()?.event else { break }
        #expect(told.insert(record.id).inserted, "told twice")
      }
      #expect(told.count == 2 * count)
      let last = try await harness.send()
      guard case .message(let record)? = try await events.next()?.event else {
        Issue.record("nothing more is told")
        return
      }
      #expect(record.id == last.id)
      timer.cancel()
      call.cancel()
    }
  }

  @Test("A watch tells each change of status once it is committed")
  func watch() async throws {
    try await MailerHarness.run { harness in
      let earlier = try await harness.send()
      let call = try harness.stream(Mailer.watchMessages, Mailer.WatchMessagesRequest())
      var events = call.makeAsyncIterator()
      guard case .started = try await events.next()?.event else {
        Issue.record("the first event is not the start")
        return
      }
      harness.gmail.script = { _, _ in .held }
      let mail = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      try await harness.gmail.nextHeld()
      var seen: [MessageStatus] = []
      while seen.last != .success {
        guard let event = try await events.next(), case .message(let record) = event.event else { break }
        #expect(record.id == mail.id && record.id != earlier.id)
        #expect(event.userID == "ann")
        seen.append(record.status)
        if record.status == .sending { harness.gmail.release() }
      }
      #expect(seen.suffix(2) == [.sending, .success])
      call.cancel()
    }
  }
}

@Suite("The sealed payload")
struct MailPayloadTests {
  static let key = MailKey(
    tenantID: "acme", userID: "ann", id: UniqueID(at: OutgoingMessageTests.now, random: (1, 2)))
  static let payload = MailPayload(
    mail: Array("From: a\r\n\r\nx".utf8), threadID: "18a", recipients: ["a@example.com", "é@example.com"])

  @Test("It opens for its own mail and no other")
  func bound() throws {
    let keys = Keyring(generating: "k1")
    let seal = PayloadSeal(keys: keys)
    let sealed = try #require(try seal.seal(Self.payload, of: Self.key).whole)
    #expect(try seal.open(sealed, of: Self.key) == Self.payload)
    var other = Self.key
    other.userID = "bea"
    #expect(throws: SealError.malformed) { try seal.open(sealed, of: other) }
    #expect(throws: SealError.unknownKey) {
      try PayloadSeal(keys: Keyring(generating: "k2")).open(sealed, of: Self.key)
    }
    var changed = sealed
    changed[changed.count - 1] ^= 1
    #expect(throws: SealError.malformed) { try seal.open(changed, of: Self.key) }
  }

  @Test("Cut anywhere, its bytes are refused or read as less, never past their end")
  func cut() {
    let bytes = Self.payload.head + Self.payload.mail
    #expect(MailPayload([1, 2] + bytes + [3], in: 2..<bytes.count + 2) == Self.payload)
    for count in 0..<Self.payload.head.count { #expect(MailPayload(bytes, in: 0..<count) == nil) }
  }

  @Test("A large one is sealed in pieces, and opens joined", arguments: [0, 1, PayloadSeal.pieceSize, 1 << 20])
  func pieces(more: Int) async throws {
    let seal = PayloadSeal(keys: Keyring(generating: "k1"))
    var payload = Self.payload
    payload.mail = (0..<PayloadSeal.pieceSize + more).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    var sealed: [UInt8] = []
    switch try seal.seal(payload, of: Self.key) {
    case .whole(let bytes):
      #expect(more == 0)
      sealed = bytes
    case .large(let large):
      try await large.forEachPiece { piece in
        #expect((1...PayloadSeal.pieceSize + 100).contains(piece.count))
        sealed += piece
      }
      #expect(more > 0)
    }
    #expect(try seal.open(sealed, of: Self.key) == payload)
    sealed[sealed.count / 2] ^= 1
    #expect(throws: SealError.malformed) { try seal.open(sealed, of: Self.key) }
  }
}
