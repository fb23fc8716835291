import CivilTime
import EventLoop
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Many mails in one transaction, and a mailbox's day")
struct BatchTests {
  @Test("What comes together goes together, and each gets its own answer")
  func together() async throws {
    let users = (0..<12).map { "user\($0)" }
    try await MailerHarness.run(users: users) { harness in
      let sends = (0..<96).map { number in
        harness.reactor.spawn { try await harness.send(user: users[number % 12]) { $0.subject = "Number \(number)" } }
      }
      var ids: Set<String> = []
      for (number, send) in sends.enumerated() {
        let answer = try await send.value
        #expect(answer.status == .success)
        ids.insert(answer.id)
        let record = try await harness.call(
          Mailer.getMessage, Mailer.GetMessageRequest { $0.id = answer.id }, user: users[number % 12])
        #expect(record.message?.subject == "Number \(number)")
      }
      #expect(ids.count == 96)
      #expect(harness.gmail.requests.count == 96)
      #expect(try harness.value("SELECT sum(success) FROM email_stats_15m") == "96")
      #expect(try harness.value("SELECT sum(success) FROM email_recipients_day") == "96")
      #expect(try harness.value("SELECT count(*) FROM send_jobs") == "0")
      #expect(try harness.value("SELECT count(*) FROM mailboxes WHERE in_flight_job IS NOT NULL OR waiting") == "0")
      #expect(try harness.value("SELECT sum(usage_now) FROM mailboxes") == "96")
    }
  }

  @Test("A mail that the database refuses takes no other along; two with one key are one")
  func apart() async throws {
    try await MailerHarness.run(users: ["ann", "bea", "cid"]) { harness in
      await harness.stopMailer()
      try await harness.withStore { store in
        let key = MailStore.Idempotency(
          keyHash: .init(repeating: 1, count: 32), fingerprint: .init(repeating: 2, count: 32))
        var mails = try ["ann", "bea", "cid", "ann", "dan"].enumerated().map { try acceptance($1, number: $0) }
        mails[1].credentialID = "no text\0"
        mails[0].idempotency = key
        mails[3].idempotency = key
        let tasks = mails.map { mail in harness.reactor.spawn { try await store.accept(mail) } }
        var results: [Result<MailStore.Accepted, any Error>] = []
        for task in tasks { results.append(await task.result) }
        #expect(try results[0].get() == .sending(epoch: 1))
        #expect(throws: PostgresError.self) { try results[1].get() }
        #expect(try results[2].get() == .sending(epoch: 1))
        #expect(try results[3].get() == .busy || results[3].get() == .duplicate)
        #expect(try results[4].get() == .accountChanged)
      }
      #expect(try harness.value("SELECT string_agg(user_id, ' ' ORDER BY user_id) FROM send_jobs") == "ann cid")
    }
  }

  @Test("A mailbox that has had its day's recipients sleeps until the day frees, at the limit and not before")
  func day() async throws {
    try await MailerHarness.run(dailyRecipients: 3, users: ["ann", "bea"]) { harness in
      for _ in 0..<3 { #expect(try await harness.send().status == .success) }
      let fourth = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(
        try await harness.eventually {
          try harness.value("SELECT paused_reason FROM mailboxes WHERE google_sub = 'sub-ann'") == "daily_limit"
        })
      #expect(
        try harness.value(
          "SELECT next_free_at BETWEEN now() + interval '24 h' AND now() + interval '25 h' FROM mailboxes WHERE waiting"
        )
          == "t")
      #expect(try await harness.send(user: "bea").status == .success)
      #expect(harness.gmail.requests.count == 4)
      // A day later the hours have left the window.
      try harness.database.execute(
        """
        UPDATE mailboxes SET usage_hour = usage_hour - interval '25 h', next_free_at = now(), wake_at = now()
        WHERE google_sub = 'sub-ann'
        """)
      #expect(try await harness.eventually { try await harness.get(fourth.id).status == .success })
      #expect(
        try harness.value("SELECT usage_before || ' ' || usage_now FROM mailboxes WHERE google_sub = 'sub-ann'")
          == "0 1")
    }
  }

  @Test("A refusal gives the recipients back; Gmail's word on the day lowers the limit")
  func learnt() async throws {
    try await MailerHarness.run(users: ["ann"]) { harness in
      harness.gmail.script = { number, _ in
        switch number {
        case 1, 2: .success
        case 3: .status(400, reason: "invalidArgument")
        default: .status(429, reason: "rateLimitExceeded", message: "Retry after 2099-01-01T00:00:00Z (Mail sending)")
        }
      }
      for _ in 0..<3 { _ = try await harness.send() }
      #expect(try harness.value("SELECT usage_now FROM mailboxes") == "2")
      _ = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try harness.value("SELECT day_limit FROM mailboxes") == "2" })
      #expect(try harness.value("SELECT usage_now FROM mailboxes") == "2")
    }
  }

  private func acceptance(_ user: String, number: Int) throws -> MailStore.Acceptance {
    let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
    let account = MailAccount(
      googleSub: "sub-\(user)", grantVersion: 1, address: try MailAddress("\(user)@example.com"))
    return MailStore.Acceptance(
      key: MailKey(tenantID: "acme", userID: user, id: UUIDv7(at: now, random: (7, UInt64(number)))), account: account,
      message: try OutgoingMessage(MessageDraft(MailerHarness.mail()), now: .now()), credentialID: "key1",
      policy: .hold, isAwaited: true, worker: "test")
  }
}
