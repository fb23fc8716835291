import CivilTime
import EventLoop
import MailSyntax
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("The queue, its recovery, and answers to repeated requests")
struct QueueTests {
  @Test("A mail that nobody waits for is durable when it is answered, and sent soon")
  func asynchronous() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let response = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(response.status == .queued)
      try await harness.gmail.nextHeld()
      #expect(try await harness.get(response.id).status == .sending)
      harness.gmail.release()
      #expect(try await harness.eventually { try await harness.get(response.id).status == .success })
      #expect(try await harness.get(response.id).timeline.map(\.event) == [.accepted, .leased, .attempt, .outcome])
      #expect(try harness.value("SELECT sum(success) FROM email_recipients_day") == "1")
    }
  }

  @Test("Idempotency keys that have expired go at once, however many they are")
  func tidy() async throws {
    try await MailerHarness.run { harness in
      try harness.database.execute(
        """
        INSERT INTO idempotency_keys (tenant_id, user_id, route, key_hash, fingerprint, expires_at)
        SELECT 'acme', 'ann', 'r', sha256(n::text::bytea), sha256(''),
          now() + make_interval(mins => CASE WHEN n <= 10001 THEN -1 ELSE 10 END)
        FROM generate_series(1, 10004) n
        """)
      try await harness.withStore { try await $0.tidy() }
      // The mailer's own upkeep may have some of them in hand.
      #expect(
        try await harness.eventually { try harness.value("SELECT count(*) FROM idempotency_keys") == "3" })
    }
  }

  @Test("The queue holds no readable mail")
  func sealed() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send {
        $0.sendAt = ProtobufTimestamp(.now() + .seconds(600))
        $0.body = "the canary of the body"
      }
      #expect(try harness.value("SELECT position('canary'::bytea IN payload) FROM send_jobs") == "0")
      #expect(try harness.value("SELECT octet_length(payload) > 300 FROM send_jobs") == "t")
    }
  }

  @Test("A large mail goes through the queue in pieces, whichever way it comes there, and leaves nothing behind")
  func large() async throws {
    try await MailerHarness.run { harness in
      let content = (0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
      func large(_ change: (inout Mailer.SendMessageRequest) -> Void) async throws -> String {
        try await harness.send {
          $0.attachments = [
            Mailer.Attachment {
              $0.filename = "a.bin"
              $0.content = content
            }
          ]
          change(&$0)
        }.id
      }
      // Refused once, when its only copy was in memory, or in the queue too.
      harness.gmail.script = { number, _ in
        number % 2 == 1 ? .status(429, reason: "rateLimitExceeded", headers: "Retry-After: 0\r\n") : .success
      }
      for (place, change) in [
        { _ in }, { $0.onAmbiguous = .retry }, { $0.wait = ProtobufDuration(.zero) },
        { $0.sendAt = ProtobufTimestamp(.now() + .milliseconds(200)) },
      ].enumerated() as EnumeratedSequence<[(inout Mailer.SendMessageRequest) -> Void]> {
        let id = try await large(change)
        #expect(try await harness.eventually { try await harness.get(id).status == .success })
        let sent = harness.gmail.requests.map(\.body)
        #expect(sent.count == 2 * place + 2 && sent[2 * place] == sent[2 * place + 1])
        #expect(sent[2 * place].count > content.count && sent[2 * place].starts(with: "From: ".utf8))
      }
      #expect(try harness.value("SELECT count(*) FROM pg_largeobject_metadata") == "0")
    }
  }

  @Test("A large mail that is refused at its acceptance leaves nothing behind")
  func largeRefused() async throws {
    try await MailerHarness.run { harness in
      try harness.database.execute(
        "INSERT INTO suppressions (tenant_id, entry, source) VALUES ('acme', 'bob@example.com', 'platform')")
      let reason = await harness.reason {
        _ = try await harness.send {
          $0.attachments = [
            Mailer.Attachment {
              $0.filename = "a.bin"
              $0.content = [UInt8](repeating: 1, count: 1 << 20)
            }
          ]
          $0.wait = ProtobufDuration(.zero)
        }
      }
      #expect(reason == "recipient_suppressed")
      #expect(try harness.value("SELECT count(*) FROM pg_largeobject_metadata") == "0")
      #expect(try harness.value("SELECT count(*) FROM send_jobs") == "0")
    }
  }

  @Test("A scheduled mail waits for its time")
  func scheduled() async throws {
    try await MailerHarness.run { harness in
      let later = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      let soon = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .milliseconds(300)) }
      #expect(later.status == .scheduled)
      #expect(later.sendAt != nil)
      #expect(try await harness.eventually { try await harness.get(soon.id).status == .success })
      #expect(try await harness.get(later.id).status == .scheduled)
      #expect(harness.gmail.requests.count == 1)
    }
  }

  @Test("A scheduled mail can be taken back, again and again; one that left cannot")
  func cancelled() async throws {
    try await MailerHarness.run { harness in
      let mail = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      for _ in 0..<2 {
        _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = mail.id })
      }
      #expect(try await harness.get(mail.id).status == .cancelled)
      #expect(try harness.value("SELECT count(*) FROM send_jobs") == "0")
      let sent = try await harness.send()
      #expect(
        await harness.reason {
          _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = sent.id })
        } == "too_late")
      #expect(
        await harness.reason {
          _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = sent.id }, user: "eve")
        } == "not_found")
    }
  }

  @Test("A mail that may have been sent and will be tried again cannot be taken back")
  func cancelledAfterUnknown() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .close }
      let mail = try await harness.send {
        $0.onAmbiguous = .retry
        $0.wait = ProtobufDuration(.zero)
      }
      #expect(try await harness.eventually { try harness.value("SELECT max(attempts) > 0 FROM send_jobs") == "t" })
      let reason = await harness.reason {
        _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = mail.id })
      }
      #expect(reason == "too_late")
    }
  }

  @Test("Under retry a mail that Gmail only told to wait can be taken back, and has all its tries before it")
  func cancelledAfterRefusal() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in
        .status(429, reason: "userRateLimitExceeded", headers: "Retry-After: 3600\r\n")
      }
      let mail = try await harness.send {
        $0.onAmbiguous = .retry
        $0.wait = ProtobufDuration(.zero)
      }
      let tried = "SELECT attempts || ' ' || ambiguous_tries FROM send_jobs WHERE lease_until IS NULL"
      #expect(try await harness.eventually { try harness.value(tried) == "1 0" })
      _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = mail.id })
      #expect(try await harness.get(mail.id).status == .cancelled)
    }
  }

  @Test("A try of unknown fate is counted once, though the database is told twice")
  func requeuedTwice() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: true, policy: .retry)
      let requeue = SendAttempt.Requeue(
        reason: .ambiguous, at: now + .seconds(600), isFailure: false, pausesMailbox: false)
      try await harness.withStore { store in
        for _ in 0..<2 {
          let isMine = try await store.requeue(
            requeue, of: key, epoch: 1, googleSub: "sub-ann", attempts: 1, payload: nil)
          #expect(isMine)
        }
      }
      #expect(try harness.value("SELECT attempts || ' ' || ambiguous_tries FROM send_jobs") == "1 1")
    }
  }

  @Test("A lapsed lease without intent is queued again and sent; with intent the fate is unknown")
  func recovered() async throws {
    try await MailerHarness.run(users: ["ann", "bea"]) { harness in
      await harness.stopMailer()
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let keys = ["ann", "bea"].map {
        MailKey(tenantID: "acme", userID: $0, id: UniqueID(at: now, random: (1, UInt64($0.utf8.first!))))
      }
      try await harness.abandon(keys[0], hasIntent: false)
      try await harness.abandon(keys[1], hasIntent: true)
      try harness.expireLeases()
      try await harness.startMailer()
      #expect(
        try await harness.eventually {
          try harness.value("SELECT string_agg(status, ' ' ORDER BY user_id) FROM email_logs") == "success unknown"
        })
      #expect(harness.gmail.requests.map(\.token) == ["token-ann-1"])
    }
  }

  @Test("Under retry a mail whose workers die one after the other is unknown after the tries that it may have")
  func crashLoop() async throws {
    try await MailerHarness.run { harness in
      await harness.stopMailer()
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: true, policy: .retry)
      try await harness.withStore { store in
        for tries in 1...SendAttempt.mostAmbiguousTries {
          try harness.expireLeases()
          try await store.wakeLapsed()
          let mail = try #require(try await store.claim(worker: "dies too", limit: 1, lapsed: true).first)
          #expect(mail.attempts == tries && mail.ambiguousTries == tries)
          var attempt = SendAttempt(
            lease: Lease(epoch: mail.epoch, until: .seconds(15)), attempts: mail.attempts,
            ambiguousTries: mail.ambiguousTries, policy: mail.policy, failingSince: nil, awaitedUntil: nil,
            hasIntent: mail.hasIntent)
          #expect((attempt.claimed() == .obtainToken) == (tries < SendAttempt.mostAmbiguousTries))
        }
      }
      try harness.expireLeases()
      try await harness.startMailer()
      let isUnknown = try await harness.eventually { try harness.value("SELECT status FROM email_logs") == "unknown" }
      #expect(isUnknown)
      #expect(harness.gmail.requests.isEmpty)
    }
  }

  @Test("A dead worker's mail becomes unknown at once, though its project pauses and its mailbox sleeps")
  func lostInAPause() async throws {
    try await MailerHarness.run { harness in
      await harness.stopMailer()
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: true)
      try harness.expireLeases()
      try harness.database.execute("UPDATE mailboxes SET next_free_at = now() + interval '1 hour'")
      try await harness.withStore { try await $0.slowProject(.init(pause: .seconds(600), isCut: true)) }
      try await harness.startMailer()
      let isUnknown = try await harness.eventually { try harness.value("SELECT status FROM email_logs") == "unknown" }
      #expect(isUnknown && harness.gmail.requests.isEmpty)
    }
  }

  @Test("A dead worker's mail that only wants its fate told wakes no mailbox, and takes no turn of the queue's")
  func lostWakesNobody() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: true)
      try harness.expireLeases()
      try await harness.withStore { store in
        #expect(try harness.value("SELECT emailmcp.wake_lapsed()") == "0")
        try harness.makeDue()
        let queued = try await store.claim(worker: "w", limit: 8, lapsed: true)
        let lost = try await store.claimLost(worker: "w", limit: 8)
        #expect(queued.isEmpty && lost.map(\.epoch) == [2])
      }
    }
  }

  @Test("A mail that waited for days is not given up at its first failure, and its failures are counted while in a row")
  func patience() async throws {
    try await MailerHarness.run { harness in
      await harness.stopMailer()
      harness.gmail.refuse()
      let accepted = Timestamp(milliseconds: (Timestamp.now() - .seconds(72 * 3600)).milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: accepted, random: (1, 1)))
      try await harness.abandon(key, hasIntent: false)
      try harness.expireLeases()
      try await harness.startMailer()
      #expect(
        try await harness.eventually {
          try harness.value("SELECT failing_since > now() - interval '1 min' FROM send_jobs WHERE attempts > 1") == "t"
        })
      #expect(try harness.value("SELECT status FROM email_logs") == "queued")
      await harness.stopMailer()
      try harness.makeDue()
      try harness.database.execute("UPDATE mailboxes SET in_flight_until = '-infinity', next_free_at = '-infinity'")
      try await harness.withStore { store in
        #expect(try await store.claim(worker: "w", limit: 1, lapsed: true).first?.failingSince != nil)
        try harness.expireLeases()
        try harness.makeDue()
        try harness.database.execute("UPDATE send_jobs SET run_at = now() - interval '61 min'")
        let late = try #require(try await store.claim(worker: "w", limit: 1, lapsed: true).first)
        #expect(late.failingSince == nil)
      }
    }
  }

  @Test("A mailer whose clock is days off puts mail off for as long as one whose clock is right", arguments: [-3, 3])
  func clockOff(days: Int) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let made = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: made, random: (1, 1)))
      try await harness.abandon(key, hasIntent: false)
      func makeClaimable() throws {
        try harness.expireLeases()
        try harness.makeDue()
        try harness.database.execute("UPDATE mailboxes SET in_flight_until = '-infinity', next_free_at = '-infinity'")
      }
      func now() -> Timestamp { .now() + .seconds(days * 86_400) }
      try await harness.withStore(now: now) { store in
        try makeClaimable()
        let mail = try #require(try await store.claim(worker: "w", limit: 1, lapsed: true).first)
        let later = SendAttempt.Requeue(
          reason: .notSent, at: now() + .seconds(600), isFailure: true, pausesMailbox: true,
          failingSince: now() - .seconds(600))
        #expect(
          try await store.requeue(
            later, of: key, epoch: mail.epoch, googleSub: mail.googleSub, attempts: 1, payload: nil))
        for time in ["run_at - now()", "now() - failing_since"] {
          #expect(try harness.value("SELECT \(time) BETWEEN '9 min' AND '11 min' FROM send_jobs") == "t", "\(time)")
        }
        #expect(
          try harness.value("SELECT next_free_at - now() BETWEEN '9 min' AND '11 min' FROM mailboxes") == "t")
        try makeClaimable()
        let again = try #require(try await store.claim(worker: "w", limit: 1, lapsed: true).first)
        let age = now() - (try #require(again.failingSince))
        #expect(age > .seconds(540) && age < .seconds(660))
      }
    }
  }

  @Test("A mail that does not open keeps no other mail of its mailbox waiting, and goes when its key is back")
  func unreadable() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let first = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      try await harness.gmail.nextHeld()
      let lost = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      let next = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      try harness.database.execute(
        "UPDATE send_jobs SET payload = set_byte(payload, 30, 255 - get_byte(payload, 30)) WHERE id = '\(lost.id)'")
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
      let left = try await harness.eventually { try await harness.get(next.id).status == .success }
      #expect(left)
      #expect(try await harness.get(first.id).status == .success)
      #expect(try await harness.get(lost.id).status == .queued)
      #expect(try harness.value("SELECT parked || ' ' || (lease_until IS NULL) FROM send_jobs") == "unreadable true")
      try harness.database.execute(
        "UPDATE send_jobs SET payload = set_byte(payload, 30, 255 - get_byte(payload, 30))")
      try harness.makeDue()
      let read = try await harness.eventually { try await harness.get(lost.id).status == .success }
      #expect(read)
    }
  }

  @Test("An intent that is recorded twice under one lease is told once, and under another epoch not at all")
  func intentTwice() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: true)
      let log = "SELECT status || ' ' || jsonb_path_query_array(timeline, '$[*].event')::text FROM email_logs"
      let once = try harness.value(log)
      #expect(once == #"sending ["accepted", "leased", "attempt"]"#)
      try await harness.withStore { store in
        let again = try await store.recordIntent(MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 1))
        let another = try await store.recordIntent(MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 2))
        #expect(again == .recorded && another == .lost)
      }
      #expect(try harness.value(log) == once)
    }
  }

  @Test("A worker that slept past its lease can neither record nor send")
  func fenced() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let send = harness.reactor.spawn { try await harness.send() }
      try await harness.gmail.nextHeld()
      try harness.expireLeases()
      #expect(try await harness.eventually { try harness.value("SELECT status FROM email_logs") == "unknown" })
      harness.gmail.release()
      #expect(try await send.value.status == .unknown)
      #expect(try harness.value("SELECT sum(success) || ' ' || sum(unknown) FROM email_stats_15m") == "0 1")
      #expect(harness.gmail.requests.count == 1)
    }
  }

  @Test("What a living worker knows is recorded when the database is back, though its lease has lapsed")
  func databaseAway() async throws {
    try await MailerHarness.run(mailers: 2) { harness in
      harness.gmail.script = { _, _ in .held }
      let send = harness.reactor.spawn { try await harness.send() }
      try await harness.gmail.nextHeld()
      let name = harness.database.name
      try harness.database.execute("ALTER DATABASE \(name) CONNECTION LIMIT 0")
      // No mailer sees the lapsed lease before its session ends.
      try harness.database.execute(
        """
        UPDATE send_jobs SET lease_until = now() - interval '1 s';
        UPDATE mailboxes SET in_flight_until = now() - interval '1 s' WHERE in_flight_job IS NOT NULL;
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()
        """)
      harness.gmail.release()
      // As long as each mailer needs to notice.
      try await harness.reactor.sleep(for: Upkeep.lapsedInterval * 3)
      try harness.database.execute("ALTER DATABASE \(name) CONNECTION LIMIT -1")
      #expect(try await send.value.status == .success)
      #expect(try harness.value("SELECT sum(success) || ' ' || sum(unknown) FROM email_stats_15m") == "1 0")
    }
  }

  @Test("A look at the queue takes lapsed leases within a time, by the database's clock")
  func lapsedLeft() async throws {
    try await MailerHarness.run(mailers: 0, users: ["ann", "bea"]) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      for (user, hasIntent) in [("ann", false), ("bea", true)] {
        let key = MailKey(tenantID: "acme", userID: user, id: UniqueID(at: now, random: (1, 1)))
        try await harness.abandon(key, hasIntent: hasIntent)
      }
      try harness.expireLeases()
      try harness.makeDue()
      try await harness.withStore { store in
        let time = Timestamp.now()
        // The second is of a process that was stopped between its decision and its question.
        for (window, epochs) in [
          (nil, []), (time - .seconds(9)..<time, []), (time + .seconds(60)..<time + .seconds(69), []),
          (time..<time + .seconds(60), [2]),
        ] as [(Range<Timestamp>?, [Int64])] {
          let due = try await store.claim(worker: "w", limit: 8, lapsed: window)
          let lost = try await store.claimLost(worker: "w", limit: 8, lapsed: window)
          #expect(due.mails.map(\.epoch) == epochs && lost.mails.map(\.epoch) == epochs)
          #expect(time < due.at && due.at < lost.at)
        }
      }
    }
  }

  /// They were counted for 24 hours.
  @Test("The recipients of a mail that is cancelled after its worker died are given back to its mailbox's day")
  func cancelledLapsed() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let keys = (1...3).map { MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, $0))) }
      func day() throws -> String? { try harness.value("SELECT usage_now + usage_before FROM mailboxes") }
      try await harness.abandon(keys[0], hasIntent: false)
      try harness.expireLeases()
      try await harness.withStore { store in
        // Another mail has the mailbox by now, and a third one waits, which is not counted yet.
        #expect(try await store.accept(harness.acceptance(of: keys[1])) == .queued)
        #expect(try await store.claim(worker: "w", limit: 1, lapsed: false).map(\.key.id) == [keys[1].id])
        #expect(try await store.accept(harness.acceptance(of: keys[2])) == .queued)
        #expect(try day() == "2")
        for key in [keys[0], keys[2], keys[0]] {
          let answer = try await store.cancel(key)
          #expect(answer == "cancelled")
        }
        #expect(try day() == "1")
      }
    }
  }

  @Test("Two mailers share a queue and send each mail once, one at a time a mailbox")
  func twoMailers() async throws {
    let users = (0..<8).map { "user\($0)" }
    try await MailerHarness.run(mailers: 2, users: users) { harness in
      for number in 0..<40 {
        let response = try await harness.send(user: users[number % 8], mailer: number % 2) {
          $0.wait = ProtobufDuration(.zero)
        }
        #expect(response.status == .queued)
      }
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "0" })
      #expect(harness.gmail.requests.count == 40)
      #expect(try harness.value("SELECT sum(success) FROM email_stats_15m") == "40")
      #expect(Set(harness.gmail.requests.map { String(decoding: $0.body, as: UTF8.self) }).count == 40)
    }
  }

  @Test("A mail that waits for its account goes when the account is connected again")
  func parked() async throws {
    try await MailerHarness.run { harness in
      let mail = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      #expect(try await harness.loseGrant())
      try harness.makeDue()
      #expect(
        try await harness.eventually { try harness.value("SELECT parked FROM send_jobs") == "reauth_required" })
      let record = try await harness.get(mail.id)
      #expect(record.status == .queued)
      #expect(record.error?.code == "reauth_required")
      #expect(record.attempts == 0)
      harness.oauth.answer = .token
      try await harness.oauth.announce(tenant: "acme", user: "ann")
      #expect(try await harness.eventually { try await harness.get(mail.id).status == .success })
      #expect(try await harness.get(mail.id).error == nil)
    }
  }

  @Test("A mail leaves from the account that it was accepted for, or not at all")
  func otherAccount() async throws {
    try await MailerHarness.run { harness in
      let mail = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      // No token of the first account is in memory any more.
      await harness.stopMailer()
      harness.oauth.sub = { "other-\($0)" }
      try await harness.startMailer()
      try harness.makeDue()
      #expect(try await harness.eventually { try await harness.get(mail.id).status == .failed })
      #expect(try await harness.get(mail.id).error?.code == "from_not_allowed")
      #expect(harness.gmail.requests.isEmpty)
    }
  }

  @Test("However often a mail goes back to the queue, its log stays small: its beginning and what was last")
  func longTimeline() async throws {
    try await MailerHarness.run { harness in
      let mail = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      await harness.stopMailer()
      let events = "SELECT jsonb_array_length(timeline) FROM email_logs"
      try await harness.withStore { store in
        for number in 0..<300 {
          try harness.makeDue()
          let claimed = try #require(try await store.claim(worker: "w", limit: 1, lapsed: true).first)
          let later = SendAttempt.Requeue(
            reason: .notSent, at: .now() + .seconds(3600), isFailure: true, pausesMailbox: false)
          #expect(
            try await store.requeue(
              later, of: claimed.key, epoch: claimed.epoch, googleSub: claimed.googleSub, attempts: number,
              payload: nil,
              story: DeliveryStory(.obtainToken, at: Timestamp(seconds: Int64(number)))))
          // At the limit and one above it.
          if number == 48 || number == 49 { #expect(try harness.value(events) == "100") }
        }
      }
      #expect(try harness.value(events) == "100")
      // Each round says when it was leased: the first nine are there, and the last forty.
      #expect(
        try harness.value(
          """
          SELECT string_agg(extract(epoch FROM (e ->> 'at')::timestamptz)::int::text, ' ' ORDER BY n)
          FROM email_logs, jsonb_array_elements(timeline) WITH ORDINALITY AS t (e, n) WHERE e ->> 'event' = 'leased'
          """) == (Array(0..<9) + Array(260..<300)).map(String.init).joined(separator: " "))
      try await harness.startMailer()
      #expect(try await harness.get(mail.id).timeline.prefix(3).map(\.event) == [.accepted, .scheduled, .leased])
    }
  }

  @Test("A drain finishes the mail that is leaving and gives back what is not")
  func drained() async throws {
    try await MailerHarness.run(mailers: 2) { harness in
      harness.gmail.script = { _, _ in .held }
      let send = harness.reactor.spawn { try await harness.send(mailer: 1) }
      try await harness.gmail.nextHeld()
      let drain = harness.reactor.spawn { await harness.stopMailer() }
      try await harness.reactor.sleep(for: .milliseconds(50))
      harness.gmail.release()
      try await drain.value
      #expect(try await send.value.status == .success)
    }
  }

  @Test("A mail that a drain meets before its request goes back to the queue")
  func drainBeforeSending() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      // One without a token in memory, which takes a while.
      await harness.stopMailer()
      harness.oauth.delay = .seconds(1)
      try await harness.startMailer()
      try harness.makeDue()
      #expect(
        try await harness.eventually { try harness.value("SELECT lease_owner FROM send_jobs") != nil })
      await harness.stopMailer()
      #expect(try harness.value("SELECT status FROM email_logs") == "queued")
      #expect(harness.gmail.requests.isEmpty)
    }
  }

  @Test("A drain tells those who wait for queued mail that it is kept")
  func drainedWhileQueued() async throws {
    try await MailerHarness.run(mailers: 2) { harness in
      harness.oauth.answer = .away
      let send = harness.reactor.spawn { try await harness.send(mailer: 1) }
      let isQueued = try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "1" }
      #expect(isQueued)
      await harness.stopMailer()
      #expect(try await send.value.status == .queued)
    }
  }

  // MARK: Idempotency

  @Test("The same key and body give the first answer again; another body is refused")
  func replayed() async throws {
    try await MailerHarness.run { harness in
      let first = try await harness.send { $0.idempotencyKey = "k" }
      var again = try await harness.send { $0.idempotencyKey = "k" }
      #expect(again.replayed)
      again.replayed = false
      #expect(again.id == first.id && again.messageID == first.messageID && again.status == first.status)
      #expect(
        await harness.reason {
          _ = try await harness.send {
            $0.idempotencyKey = "k"; $0.subject = "Other"
          }
        }
          == "idempotency_key_reused")
      #expect(try await harness.send { $0.idempotencyKey = "k2" }.replayed == false)
      #expect(harness.gmail.requests.count == 2)
      harness.oauth.answer = .refusal("not_connected")
      try await harness.oauth.announce(tenant: "acme", user: "ann")
      #expect(try await harness.send { $0.idempotencyKey = "k" }.replayed)
    }
  }

  @Test("A request whose time has gone since is answered by its key, and refused without one")
  func replayedLate() async throws {
    try await MailerHarness.run { harness in
      let time = ProtobufTimestamp(.now() - .seconds(58))
      let first = try await harness.send {
        $0.idempotencyKey = "k"
        $0.sendAt = time
      }
      let isLate = try await harness.eventually {
        await harness.reason { _ = try await harness.send { $0.sendAt = time } } == "invalid_request"
      }
      #expect(isLate)
      let again = try await harness.send {
        $0.idempotencyKey = "k"
        $0.sendAt = time
      }
      #expect(again.replayed && again.id == first.id && again.status == first.status)
    }
  }

  @Test("While the first request is under way its key is in flight; an accepted mail's answer is repeated at once")
  func inFlight() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let first = harness.reactor.spawn { try await harness.send { $0.idempotencyKey = "k" } }
      try await harness.gmail.nextHeld()
      #expect(
        await harness.reason { _ = try await harness.send { $0.idempotencyKey = "k" } } == "idempotency_in_flight")
      harness.gmail.release()
      #expect(try await first.value.status == .success)
      func asynchronous(_ request: inout Mailer.SendMessageRequest) {
        request.idempotencyKey = "a"
        request.wait = ProtobufDuration(.zero)
      }
      let accepted = try await harness.send { asynchronous(&$0) }
      let again = try await harness.send { asynchronous(&$0) }
      #expect(again.replayed && again.id == accepted.id && again.status == .queued)
      harness.gmail.script = { _, _ in .success }
      harness.gmail.release()
    }
  }

  @Test("Whoever waited in vain was told that the mail is kept, and so does its key answer, whatever becomes of it")
  func keyAfterPatience() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      func keyed(_ request: inout Mailer.SendMessageRequest) {
        request.idempotencyKey = "k"
        request.wait = ProtobufDuration(.milliseconds(300))
      }
      let first = try await harness.send { keyed(&$0) }
      #expect(first.status == .sending)
      func repeated() async throws {
        let again = try await harness.send { keyed(&$0) }
        #expect(again.replayed && again.id == first.id && again.status == .queued)
        #expect(again.messageID == nil && again.threadID == nil && again.sentAt == nil && again.error == nil)
      }
      try await repeated()
      harness.gmail.release()
      #expect(try await harness.eventually { try await harness.get(first.id).status == .success })
      try await repeated()
    }
  }

  @Test("A key whose first caller is gone answers that its mail was kept, once no call can wait for it any more")
  func forgotten() async throws {
    try await MailerHarness.run { harness in
      #expect(try await harness.send().status == .success)
      try harness.database.execute("UPDATE mailboxes SET next_free_at = 'infinity'")
      let first = harness.reactor.spawn { try await harness.send { $0.idempotencyKey = "k" } }
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM idempotency_keys") == "1" })
      first.cancel()
      _ = await first.result
      #expect(
        await harness.reason { _ = try await harness.send { $0.idempotencyKey = "k" } } == "idempotency_in_flight")
      // As if all of it had been a while ago: a message's id is its time.
      let old = UniqueID(at: Timestamp.now() - MessageSender.forgottenAfter - .seconds(1), random: (1, 1))
      try harness.database.execute(
        """
        UPDATE email_logs SET id = '\(old)', created_at = to_timestamp(\(old.time.milliseconds) / 1000.0)
          WHERE status = 'queued';
        UPDATE idempotency_keys SET message_id = '\(old)'
        """)
      let again = try await harness.send { $0.idempotencyKey = "k" }
      #expect(again.replayed && again.id == old.description && again.status == .queued)
    }
  }

  @Test("Of many copies of one request at the same time, one is sent")
  func race() async throws {
    try await MailerHarness.run(mailers: 2) { harness in
      let sends = (0..<32).map { number in
        harness.reactor.spawn {
          do {
            return try await harness.send(mailer: number % 2) { $0.idempotencyKey = "k" }.id
          } catch let error as RPCError {
            return error.errorInfo?.reason ?? "?"
          }
        }
      }
      var answers: Set<String> = []
      for send in sends { answers.insert(try await send.value) }
      answers.remove("idempotency_in_flight")
      #expect(answers.count == 1)
      #expect(harness.gmail.requests.count == 1)
      #expect(try harness.value("SELECT count(*) FROM email_logs") == "1")
    }
  }

  @Test("A mail that is taken back gives its idempotency key back, and the same request is taken anew")
  func takenBackWithItsKey() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let account = MailAccount(googleSub: "sub-ann", grantVersion: 1, address: try MailAddress("ann@example.com"))
      let message = try OutgoingMessage(MessageDraft(MailerHarness.mail()), now: .now())
      let idempotency = MailStore.Idempotency(
        keyHash: [UInt8](repeating: 1, count: 32), fingerprint: [UInt8](repeating: 2, count: 32))
      let user = UserKey(tenantID: "acme", userID: "ann")
      func accept(_ number: UInt64, _ store: MailStore) async throws -> (MailKey, MailStore.Accepted) {
        let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
        let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, number)))
        let acceptance = MailStore.Acceptance(
          key: key, account: account, message: message, credentialID: "key1", policy: .hold, isAwaited: true,
          idempotency: idempotency, worker: "w")
        return (key, try await store.accept(acceptance))
      }
      try await harness.withStore { store in
        let (key, answer) = try await accept(1, store)
        #expect(answer == .sending(epoch: 1))
        let leased = MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 1)
        var stale = leased
        stale.epoch = 0
        #expect(try await store.takeBack(stale, idempotency) == false)
        #expect(try await accept(2, store).1 == .busy)
        #expect(try await store.known(idempotency, of: user) != nil)
        #expect(try await store.takeBack(leased, idempotency))
        #expect(try await store.known(idempotency, of: user) == nil)
        #expect(try await accept(3, store).1 == .sending(epoch: 1))
        #expect(
          try harness.value("SELECT string_agg(status, ' ' ORDER BY id) FROM email_logs") == "failed sending")
      }
    }
  }

  @Test("Over the bound of unsent mail a tenant is refused")
  func backpressure() async throws {
    try await MailerHarness.run { harness in
      let later = ProtobufTimestamp(.now() + .seconds(3600))
      func keyed(_ request: inout Mailer.SendMessageRequest) {
        request.idempotencyKey = "k"
        request.sendAt = later
      }
      let first = try await harness.send { keyed(&$0) }
      // Counted anew while it runs, the estimate may be a mail or two ahead.
      var kept = 0
      var reason: String?
      while reason == nil, kept < 200 {
        reason = await harness.reason {
          _ = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
        }
        if reason == nil { kept += 1 }
      }
      #expect(reason == "too_many_unsent" && (90...110).contains(kept))
      let again = try await harness.send { keyed(&$0) }
      #expect(again.replayed && again.id == first.id)
    }
  }

  @Test("While nobody can give a token, mail is accepted and waits, unless the account is known to be of no use")
  func oauthAway() async throws {
    try await MailerHarness.run { harness in
      harness.oauth.answer = .away
      let response = try await harness.send { $0.wait = ProtobufDuration(.milliseconds(100)) }
      #expect(response.status == .queued)
      for (status, reason) in [("reauth_required", "reauth_required"), ("disconnected", "not_connected")] {
        try harness.database.execute("UPDATE user_email_accounts SET status = '\(status)'")
        #expect(await harness.reason { _ = try await harness.send() } == reason)
      }
      #expect(await harness.reason { _ = try await harness.send(user: "nobody") } == "not_connected")
    }
  }
}

extension MailerHarness {
  /// A mail for the queue that nobody waits for.
  func acceptance(of key: MailKey, policy: SendAttempt.AmbiguityPolicy = .hold) throws -> MailStore.Acceptance {
    let account = MailAccount(
      googleSub: "sub-\(key.userID)", grantVersion: 1, address: try MailAddress("\(key.userID)@example.com"))
    let message = try OutgoingMessage(MessageDraft(MailerHarness.mail()), now: .now())
    let payload = MailPayload(mail: Array("From: x\r\n\r\nx".utf8), threadID: nil, recipients: ["bob@example.com"])
    return MailStore.Acceptance(
      key: key, account: account, message: message, credentialID: "key1", policy: policy, isAwaited: false,
      payload: try seal(payload, of: key))
  }

  /// Leaves a mail as a worker that died would: leased, with or without intent.
  func abandon(_ key: MailKey, hasIntent: Bool, policy: SendAttempt.AmbiguityPolicy = .hold) async throws {
    try await withStore { store in
      #expect(try await store.accept(acceptance(of: key, policy: policy)) == .queued)
      let claimed = try await store.claim(worker: "dead", limit: 1, lapsed: true)
      #expect(claimed.map(\.epoch) == [1])
      let leased = MailStore.Leased(key: key, googleSub: "sub-\(key.userID)", epoch: 1)
      if hasIntent { #expect(try await store.recordIntent(leased) == .recorded) }
    }
  }
}
