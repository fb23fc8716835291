import CivilTime
import EventLoop
import MailSyntax
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

  @Test("Upkeep waits for no mailbox that another transaction holds")
  func upkeepWaitsForNobody() async throws {
    let users = ["ann", "bea"]
    try await MailerHarness.run(mailers: 0, users: users) { harness in
      for (number, user) in users.enumerated() {
        let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
        let key = MailKey(tenantID: "acme", userID: user, id: UniqueID(at: now, random: (1, UInt64(number))))
        try await harness.abandon(key, hasIntent: false)
      }
      try harness.expireLeases()
      try await harness.holding(mailbox: "sub-ann") {
        let woken = try harness.value("SET statement_timeout = '2s'; SELECT emailmcp.wake_lapsed()")
        #expect(woken == "1")
        _ = try harness.value("UPDATE mailboxes SET wake_at = NULL, urgent_at = NULL WHERE google_sub = 'sub-bea'")
        #expect(try harness.value("SET statement_timeout = '2s'; SELECT emailmcp.repair_wakes()") == "1")
      }
      #expect(try harness.value("SELECT emailmcp.wake_lapsed()") == "1")
    }
  }

  @Test("A batch of several tenants locks its mailboxes in one order, whoever's they are")
  func tenantsInOrder() async throws {
    try await MailerHarness.run(mailers: 0, users: ["zoe"]) { harness in
      try harness.database.createTenant("beta")
      try harness.database.execute(
        """
        INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
        VALUES ('beta', 'abe', 'abe@example.com', 'sub-abe', 'active')
        """)
      try await harness.withStore { store in
        // The tenants' order is not that of their mailboxes.
        var other = try acceptance("abe", number: 1)
        other.key.tenantID = "beta"
        let mails = [try acceptance("zoe", number: 0), other]
        _ = try harness.value("INSERT INTO mailboxes (google_sub) VALUES ('sub-abe'), ('sub-zoe')")
        let task = try await harness.holding(mailbox: "sub-abe") {
          let task = harness.reactor.spawn { try await MailStore.accept(mails, store.pool, store.pace) }
          let waits = try await harness.eventually {
            try harness.value(
              """
              SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
              """) == "1"
          }
          #expect(waits)
          _ = try harness.value("SELECT FROM mailboxes WHERE google_sub = 'sub-zoe' FOR UPDATE NOWAIT")
          return task
        }
        #expect(try await task.value.count == 2)
      }
    }
  }

  @Test("Recording an intent waits for no mailbox, its user's account being back or not")
  func intentsLockNoMailbox() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let keys = (1...2).map { MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, $0))) }
      try await harness.abandon(keys[0], hasIntent: false)
      try harness.database.execute(
        """
        UPDATE send_jobs SET parked = 'reauth_required';
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, parked, payload)
        SELECT 'acme', 'ann', '\(keys[1].id)', now(), 'sub-ann', 1, 'infinity', 'reauth_required', 'x'
        """)
      try await harness.withStore { store in
        try await harness.holding(mailbox: "sub-ann") {
          let intent = try await store.recordIntent(.init(key: keys[0], googleSub: "sub-ann", epoch: 1))
          #expect(intent == .recorded)
        }
      }
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

  @Test("Two batches that meet in two mailboxes, in opposite parts, wait for each other in one order")
  func lockOrder() async throws {
    try await MailerHarness.run(users: ["ann", "bea"]) { harness in
      await harness.stopMailer()
      try await harness.withStore { first in
        try await harness.withStore { second in
          // Both mailboxes exist, or one; the batches stop where they write the log, after the first of their locks.
          for (round, known) in ["sub-ann,sub-bea", "sub-ann", ""].enumerated() {
            try harness.database.execute(
              """
              DELETE FROM send_jobs; DELETE FROM mailboxes;
              INSERT INTO mailboxes (google_sub) SELECT unnest(string_to_array('\(known)', ','))
              """)
            let session = try BlockingSession(url: harness.database.url())
            _ = try session.execute("BEGIN; LOCK TABLE email_logs IN SHARE MODE")
            let batches = try [["ann", "bea"], ["bea", "ann"]].enumerated().map { number, users in
              var mails = try users.enumerated().map { try acceptance($1, number: round * 4 + number * 2 + $0) }
              mails[1].worker = nil
              mails[1].payload = .whole([1, 2, 3])
              return mails
            }
            let tasks = zip([first, second], batches).map { store, mails in
              harness.reactor.spawn { try await MailStore.accept(mails, store.pool, store.pace) }
            }
            #expect(
              try await harness.eventually {
                try harness.value(
                  """
                  SELECT count(DISTINCT pid) FROM pg_locks AS awaited JOIN pg_locks AS held USING (pid)
                  WHERE NOT awaited.granted
                    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  """) == "2"
              })
            _ = try session.execute("COMMIT")
            let answers = [try await tasks[0].value, try await tasks[1].value]
            // Whoever came first has its mailbox at once; the other one's has mail waiting by then.
            #expect(answers.contains([.sending(epoch: 1), .queued]))
            #expect(answers.contains([.busy, .queued]))
          }
        }
      }
      #expect(try harness.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == "0")
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

  @Test("A mail to more than are left of the day waits by itself, and what fits goes at once")
  func tooLargeForToday() async throws {
    try await MailerHarness.run(dailyRecipients: 3) { harness in
      #expect(try await harness.send().status == .success)
      let large = try await harness.send {
        $0.cc = ["cat", "dan"].map { name in Mailer.Address { $0.email = "\(name)@example.com" } }
        $0.wait = ProtobufDuration(.zero)
      }
      let isPutOff = try await harness.eventually {
        try harness.value(
          "SELECT parked || ' ' || (run_at > now() + interval '23 h') FROM send_jobs WHERE id = '\(large.id)'")
          == "daily_limit true"
      }
      #expect(isPutOff)
      #expect(try harness.value("SELECT paused_reason IS NULL AND next_free_at <= now() FROM mailboxes") == "t")
      #expect(try await harness.send().status == .success)
      let queued = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try await harness.get(queued.id).status == .success })
      // With nothing left of it the mailbox sleeps.
      _ = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      let isPaused = try await harness.eventually {
        try harness.value("SELECT paused_reason FROM mailboxes WHERE next_free_at > now()") == "daily_limit"
      }
      #expect(isPaused)
      // A day later the hours have left the window.
      try harness.database.execute(
        """
        UPDATE mailboxes SET usage_hour = usage_hour - interval '25 h', next_free_at = now(), wake_at = now();
        DELETE FROM mailbox_usage; DELETE FROM send_jobs WHERE id <> '\(large.id)'; UPDATE send_jobs SET run_at = now()
        """)
      #expect(try await harness.eventually { try await harness.get(large.id).status == .success })
    }
  }

  @Test(
    "A large mail that small ones have passed for a day is next: they wait until there is room for it",
    arguments: [23, 25])
  func putOffForADay(hours: Int) async throws {
    try await MailerHarness.run(dailyRecipients: 3) { harness in
      #expect(try await harness.send().status == .success)
      let large = try await harness.send {
        $0.cc = ["cat", "dan"].map { name in Mailer.Address { $0.email = "\(name)@example.com" } }
        $0.wait = ProtobufDuration(.zero)
      }
      let isPutOff = try await harness.eventually {
        try harness.value("SELECT put_off_at > now() - interval '1 min' FROM send_jobs") == "t"
      }
      #expect(isPutOff)
      try harness.database.execute("UPDATE send_jobs SET put_off_at = now() - interval '\(hours) h'")
      let small = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      guard hours > 24 else {
        #expect(try await harness.eventually { try await harness.get(small.id).status == .success })
        return
      }
      let waits = try await harness.eventually {
        try harness.value("SELECT paused_reason FROM mailboxes WHERE next_free_at > now() + interval '23 h'")
          == "daily_limit"
      }
      #expect(waits)
      let urgent = try await harness.send { $0.wait = ProtobufDuration(.milliseconds(100)) }
      #expect(urgent.status == .queued && harness.gmail.requests.count == 1)
      // A day later the hours have left the window.
      try harness.database.execute(
        """
        UPDATE mailboxes SET usage_hour = usage_hour - interval '25 h', next_free_at = now(), wake_at = now();
        DELETE FROM mailbox_usage
        """)
      #expect(try await harness.eventually { try await harness.get(large.id).status == .success })
      #expect(try await harness.get(small.id).status == .queued && harness.gmail.requests.count == 2)
    }
  }

  @Test("Large mails that the day has no room for keep no small one behind them waiting")
  func manyTooLargeForToday() async throws {
    try await MailerHarness.run(dailyRecipients: 3) { harness in
      #expect(try await harness.send().status == .success)
      await harness.stopMailer()
      try harness.database.execute(
        """
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, recipients, payload)
        SELECT 'acme', 'ann', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now(), 'sub-ann', 1,
          now() - interval '1 h' + n * interval '1 s', CASE WHEN n = 101 THEN 1 ELSE 3 END, 'x'
        FROM generate_series(1, 101) AS n;
        SELECT emailmcp.repair_wakes();
        """)
      try await harness.withStore { store in
        var looks = 0
        var claimed: [MailStore.ClaimedMail] = []
        while claimed.isEmpty, looks < 5 {
          claimed = try await store.claim(worker: "w", limit: 8, lapsed: true)
          looks += 1
        }
        #expect(claimed.count == 1 && looks == 3)
      }
      #expect(
        try harness.value("SELECT count(*) FROM send_jobs WHERE parked = 'daily_limit' AND run_at > now()") == "100")
      try await harness.startMailer()
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      #expect(capacity.queue?.waiting == 101 && capacity.queue?.scheduled == 0)
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

  @Test("Gmail's time is the pause: near, it teaches no limit of the day; far away, one until then")
  func pauses() async throws {
    try await MailerHarness.run(users: ["ann"]) { harness in
      let now = Timestamp.now()
      harness.gmail.script = { number, _ in
        let time = number == 2 ? now + .seconds(4) : now + .seconds(7200)
        return number < 2 || number == 3
          ? .success
          : .status(429, reason: "userRateLimitExceeded", message: "Retry after \(time) (Mail sending)")
      }
      _ = try await harness.send()
      // Waits for the four seconds and is sent then.
      #expect(try await harness.send().status == .success)
      #expect(try harness.value("SELECT day_limit IS NULL FROM mailboxes") == "t")
      _ = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try harness.value("SELECT day_limit FROM mailboxes") == "2" })
      #expect(
        try harness.value(
          """
          SELECT day_limit_until = next_free_at AND day_limit_until BETWEEN now() + interval '118 min' AND now() + interval '2 h'
          FROM mailboxes
          """) == "t")
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      #expect(capacity.day?.limit == 2 && capacity.day?.left == 0 && capacity.pausedReason == "daily_limit")
      let next = try #require(capacity.nextSendAt?.timestamp)
      let frees = try #require(capacity.day?.freesAt?.timestamp)
      #expect(next <= now + .seconds(7201) && frees <= now + .seconds(7201))
    }
  }

  private func acceptance(_ user: String, number: Int) throws -> MailStore.Acceptance {
    let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
    let account = MailAccount(
      googleSub: "sub-\(user)", grantVersion: 1, address: try MailAddress("\(user)@example.com"))
    return MailStore.Acceptance(
      key: MailKey(tenantID: "acme", userID: user, id: UniqueID(at: now, random: (7, UInt64(number)))),
      account: account,
      message: try OutgoingMessage(MessageDraft(MailerHarness.mail()), now: .now()), credentialID: "key1",
      policy: .hold, isAwaited: true, worker: "test")
  }
}
