import CivilTime
import Foundation
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("What a user may still send")
struct CapacityTests {
  private static let terms = MailboxPace.Terms(unitsPerMinute: 6000, dailyRecipients: 2000)

  /// Sends as early as the pace lets it from `now` on, and says when each started.
  private static func starts(_ pace: PacedMailbox, from now: Duration, count: Int) -> [Duration] {
    var pace = pace
    var time = now
    var starts: [Duration] = []
    while starts.count < count {
      switch pace.take(at: time, terms) {
      case .go: starts.append(time - now)
      case .wait(let until): time = until
      }
    }
    return starts
  }

  @Test("The age to scale on is of mail that a mailer could send now")
  func oldestAge() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      try await harness.abandon(key, hasIntent: false)
      try harness.database.execute(
        """
        UPDATE send_jobs SET lease_owner = NULL, lease_until = NULL, run_at = now() - interval '100 s';
        UPDATE mailboxes SET in_flight_until = '-infinity', pace_until = '-infinity', wake_at = now() - interval '100 s'
        """)
      try await harness.withStore { store in
        func age() async throws -> Double { try await store.queueFigures().oldestAge }
        let waits = try await age()
        #expect((100...200).contains(waits))
        for column in ["next_free_at", "in_flight_until", "pace_until"] {
          try harness.database.execute("UPDATE mailboxes SET \(column) = now() + interval '100 s'")
          #expect(try await age() == 0, "\(column)")
          try harness.database.execute("UPDATE mailboxes SET \(column) = '-infinity'")
        }
        try harness.database.execute("UPDATE mailboxes SET pace_until = now() - interval '10 s'")
        let paid = try await age()
        #expect((10...90).contains(paid))
        try harness.database.execute("UPDATE project_pace SET paused_until = now() + interval '100 s'")
        #expect(try await age() == 0)
        let depth = try await store.queueFigures().depth
        #expect(depth == 1)
      }
    }
  }

  @Test("The figures are those that the pace itself gives, after any history")
  func agreesWithPace() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var pace = PacedMailbox()
      var now: Duration = .seconds(1000)
      for _ in 0..<Int.random(in: 0...80, using: &random) {
        now += .milliseconds(Int.random(in: 0...(Bool.random() ? 1500 : 20), using: &random))
        _ = pace.take(at: now, Self.terms)
      }
      now += .milliseconds(Int.random(in: 1...5000, using: &random))
      guard let next = pace.nextFree else { continue }
      let debt = max(.zero, next - now)
      let credit =
        debt > .zero ? pace.credit : min(Self.terms.burst, pace.credit + Int((now - next) / Self.terms.interval))
      let state = MailboxCapacity.State(
        wait: credit > 0 ? .zero : debt, debt: debt, credit: credit, dayLimit: 2000)
      let capacity = MailboxCapacity(state, Self.terms)
      let starts = Self.starts(pace, from: now, count: 70)
      #expect(capacity.minuteLeft == starts.filter { $0 < .seconds(60) }.count)
      #expect(capacity.nextSend == starts[0])
      for count in [1, 2, 11, 12, 70] {
        #expect(capacity.soonest(mails: count, recipients: count) == starts[count - 1])
      }
    }
  }

  @Test(
    "A pause and the day's quota bound what is left",
    arguments: [
      (wait: 0, used: 0, limit: 2000, left: 60), (wait: 59, used: 0, limit: 2000, left: 1),
      (wait: 60, used: 0, limit: 2000, left: 0), (wait: 3600, used: 0, limit: 2000, left: 0),
      (wait: 0, used: 1999, limit: 2000, left: 1), (wait: 0, used: 2000, limit: 2000, left: 0),
      (wait: 0, used: 900, limit: 500, left: 0),
    ])
  func bounded(_ given: (wait: Int, used: Int, limit: Int, left: Int)) {
    let state = MailboxCapacity.State(
      wait: .seconds(given.wait), debt: .seconds(given.wait), credit: 0, dayLimit: given.limit, dayUsed: given.used)
    let capacity = MailboxCapacity(state, Self.terms)
    #expect(capacity.minuteLimit == 60 && capacity.minuteLeft == given.left)
  }

  @Test("While the share is cut nothing goes early, and what goes is further apart")
  func cutShare() {
    let capacity = MailboxCapacity(.init(credit: 10, dayLimit: 2000, share: 0.5), Self.terms)
    #expect(capacity.minuteLimit == 60 && capacity.minuteLeft == 30)
    #expect(capacity.soonest(mails: 1, recipients: 1) == .zero)
    #expect(capacity.soonest(mails: 2, recipients: 2) == .seconds(2))
  }

  @Test("The forecast: limits while it is young, its own pace when it was busy all the while, else nothing")
  func forecast() {
    let rested = MailboxCapacity(.init(credit: 0, dayLimit: 2000), Self.terms)
    func forecast(_ backlog: QueueForecast.Backlog, _ capacity: MailboxCapacity? = nil) -> QueueForecast {
      QueueForecast(backlog, capacity ?? rested)
    }
    #expect(forecast(.init()).earliest == nil && forecast(.init()).basis == nil)
    let young = forecast(
      .init(mails: 601, recipients: 601, oldest: .seconds(899), finished: 300, window: .seconds(900)))
    #expect(young.earliest == .seconds(600) && young.expected == .seconds(600) && young.basis == .limits)
    let busy = forecast(
      .init(mails: 600, recipients: 600, oldest: .seconds(900), finished: 300, window: .seconds(900)))
    #expect(busy.earliest == .seconds(599) && busy.expected == .seconds(1800) && busy.basis == .observed)
    let stuck = forecast(.init(mails: 6, recipients: 6, oldest: .seconds(901), finished: 0, window: .seconds(900)))
    #expect(stuck.earliest == .seconds(5) && stuck.expected == nil && stuck.basis == nil)
    let full = MailboxCapacity(
      .init(credit: 0, dayLimit: 500, dayUsed: 500, dayFrees: .seconds(7200)), Self.terms)
    let days = forecast(.init(mails: 1200, recipients: 1200), full)
    #expect(days.earliest == .seconds(2 * 86_400) && days.expected == .seconds(3 * 86_400))
    #expect(forecast(.init(mails: 1, recipients: 1), full).earliest == .seconds(7200))
    #expect(full.nextSend == .seconds(7200))
  }

  @Test("A connected user sees what his mails have used, and his queue")
  func service() async throws {
    try await MailerHarness.run(unitsPerMinute: 6000, dailyRecipients: 500) { harness in
      let fresh = try await harness.call(Mailer.getCapacity, .init())
      #expect(fresh.account == .active && fresh.minute?.limit == 60 && fresh.minute?.left == 60)
      #expect(fresh.day?.limit == 500 && fresh.day?.used == 0 && fresh.day?.left == 500 && fresh.day?.isLearnt == false)
      #expect(fresh.nextSendAt == fresh.asOf && fresh.queue == .init())
      _ = try await harness.send {
        $0.cc = [Mailer.Address { $0.email = "carl@example.com" }]
      }
      _ = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      let used = try await harness.call(Mailer.getCapacity, .init())
      #expect(used.day?.used == 2 && used.day?.left == 498 && (58...60).contains(used.minute?.left ?? 0))
      #expect(used.queue?.scheduled == 1 && used.queue?.waiting == 0 && used.queue?.expectedFinish == nil)
      _ = try harness.value("UPDATE mailboxes SET usage_hour = usage_hour - interval '3 hours'")
      #expect(try await harness.call(Mailer.getCapacity, .init()).day?.used == 2)
      _ = try harness.value("UPDATE mailboxes SET usage_hour = usage_hour - interval '30 hours'")
      #expect(try await harness.call(Mailer.getCapacity, .init()).day?.used == 0)
      #expect(try await harness.call(Mailer.getCapacity, .init(), user: "eve").account == .neverConnected)
    }
  }

  @Test("Gmail's word that the day is used up shows, and when it is over")
  func dayIsOver() async throws {
    try await MailerHarness.run(unitsPerMinute: 6000, dailyRecipients: 500) { harness in
      let until = Timestamp(seconds: Timestamp.now().seconds + 7200)
      harness.gmail.script = { _, _ in
        .status(
          429, reason: "rateLimitExceeded",
          message: "User-rate limit exceeded.  Retry after \(until) (Mail sending)")
      }
      let mail = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try await harness.get(mail.id).timeline.last?.event == .refused })
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      #expect(capacity.pausedReason == "daily_limit" && capacity.minute?.left == 0)
      #expect(capacity.day?.isLearnt == true && capacity.queue?.waiting == 1 && capacity.queue?.basis == .limits)
      let next = try #require(capacity.nextSendAt?.timestamp)
      #expect(abs(next.seconds - until.seconds) <= 2)
      #expect(try #require(capacity.queue?.earliestFinish?.timestamp) >= next)
    }
  }

  @Test("A day that is used up is why nothing may leave, also with nothing waiting")
  func dayIsUsed() async throws {
    try await MailerHarness.run(unitsPerMinute: 6000, dailyRecipients: 2) { harness in
      _ = try await harness.send { $0.cc = [Mailer.Address { $0.email = "carl@example.com" }] }
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      #expect(capacity.day?.left == 0 && capacity.queue?.waiting == 0 && capacity.day?.isLearnt == false)
      #expect(capacity.nextSendAt == capacity.day?.freesAt && capacity.pausedReason == "daily_limit")
    }
  }

  @Test("Users of one account, whatever their tenants, are told by its own pace when its queue will be empty")
  func sharedAccount() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try harness.database.createTenant("other")
      // The account's queue has 40 mails, and has been busy all the while; each user's half of what was sent is in two buckets.
      try harness.database.execute(
        """
        INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
        VALUES ('acme', 'bea', 'ann@example.com', 'sub-ann', 'active'),
          ('other', 'cat', 'ann@example.com', 'sub-ann', 'active'),
          ('acme', 'dan', 'dan@example.com', 'sub-dan', 'active');
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        SELECT 'acme', 'ann', gen_random_uuid(), now() - interval '40 min', 'sub-ann', 1, now() - interval '40 min', 'x'
        FROM generate_series(1, 40) n;
        INSERT INTO email_stats_15m (tenant_id, user_id, bucket, success, failed, unknown)
        SELECT tenant_id, user_id, date_bin('15 minutes', now(), 'epoch') - ago * interval '15 minutes', 8, 1, 1
        FROM user_email_accounts, generate_series(0, 2) ago
        """)
      try await harness.withStore { store in
        for (tenant, user) in [("acme", "ann"), ("acme", "bea"), ("other", "cat")] {
          let known = try #require(try await store.capacity(of: UserKey(tenantID: tenant, userID: user)))
          // Three users, two buckets; an older one is not looked at.
          #expect(known.backlog.mails == 40 && known.backlog.finished == 60, "\(user): \(known.backlog)")
          #expect(known.backlog.window >= .seconds(900) && known.backlog.window <= .seconds(1801))
          #expect(known.backlog.oldest >= .seconds(2400))
          let forecast = QueueForecast(known.backlog, MailboxCapacity(known.mailbox, Self.terms))
          #expect(forecast.basis == .observed && forecast.expected == known.backlog.window * (40.0 / 60))
        }
        let alone = try #require(try await store.capacity(of: UserKey(tenantID: "acme", userID: "dan")))
        #expect(alone.backlog.mails == 0 && alone.backlog.finished == 20)
      }
    }
  }

  @Test("Parked mail is told apart, and no end is foretold for it")
  func parked() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      #expect(try await harness.loseGrant())
      try harness.makeDue()
      #expect(try await harness.eventually { try harness.value("SELECT parked FROM send_jobs") == "reauth_required" })
      _ = try harness.value("UPDATE user_email_accounts SET status = 'reauth_required'")
      let capacity = try await harness.call(Mailer.getCapacity, .init())
      #expect(capacity.account == .reauthRequired && capacity.nextSendAt == nil)
      #expect(capacity.queue?.parked == 1 && capacity.queue?.waiting == 0 && capacity.queue?.earliestFinish == nil)
    }
  }
}
