import CivilTime
import EventLoop
import MailSyntax
import PostgresClient
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

/// What the simulation shows rests on its database doing what Postgres does.
@Suite("The simulator's database beside the real one", .serialized)
struct DatabaseConformanceTests {
  @Test("The same steps get the same answers and leave the same state", arguments: 1...10 as ClosedRange<UInt64>)
  func agree(seed: UInt64) async throws {
    if let difference = try await Self.run(seed: seed).difference { Issue.record("\(difference)") }
  }

  @Test(
    "So they do where the day has no room for a mail, and none for any",
    arguments: [(11, 6), (12, 6), (7, 7)] as [(UInt64, Int)])
  func agreeOnTheDay(seed: UInt64, dayLimit: Int) async throws {
    let (difference, putOff) = try await Self.run(seed: seed, dayLimit: dayLimit)
    if let difference { Issue.record("\(difference)") }
    #expect(putOff.mails > 0 && putOff.mailboxes > 0, "the run does not come to that")
  }

  @Test(
    "One that is built wrong is told apart",
    arguments: [
      Flaw.noFence, .noIntent, .leaseWithoutEpoch, .keyIsForgotten, .takenBackWithoutItsKey, .cancelledAfterUnknown,
      .lapsedLeasesAreLeft, .unsubscribedInVain,
    ])
  func differs(flaw: Flaw) async throws {
    for seed in 1...20 as ClosedRange<UInt64> {
      if try await Self.run(seed: seed, flaw: flaw).difference != nil { return }
    }
    Issue.record("not told apart")
  }

  /// The first step after which the two are not alike, and how often mail was put off by then.
  private static func run(
    seed: UInt64, flaw: Flaw? = nil, dayLimit: Int = 14
  ) async throws -> (difference: String?, putOff: (mails: Int, mailboxes: Int)) {
    nonisolated(unsafe) var (difference, putOff): (String?, (mails: Int, mailboxes: Int)) = (nil, (0, 0))
    let users = (0..<DatabasePair.mailboxes).map { "user\($0)" }
    try await MailerHarness.run(mailers: 0, dailyRecipients: dayLimit, users: users) { harness in
      try await harness.withStore { store in
        let pair = DatabasePair(harness, store, seed: seed, flaw: flaw, dayLimit: dayLimit)
        difference = try await pair.run(steps: 120)
        putOff = pair.putOff
      }
    }
    return (difference, putOff)
  }
}

/// Takes each step in both databases. Time passes in both at once: in Postgres all times of the queue are moved back.
private final class DatabasePair {
  static let mailboxes = 3
  /// No end of a lease, nor of a pause, comes within 5 s of a moment at which it is looked at: time enough for all steps
  /// of a tick, since the real ones take some.
  private static let tick: Duration = .seconds(10)
  private static let pause: Duration = .seconds(15)
  private static let stepsOfATick = 12

  private let harness: MailerHarness
  private let store: MailStore
  private var random: SeededRandom
  private var model: SimulatedDatabase
  private var now: Int64 = 0
  private var lastTick = ContinuousClock.now
  private var stepsSinceTick = 0
  var putOff: (mails: Int, mailboxes: Int) { model.putOffs }
  private var mails: [SimulatedMail] = []
  private var keys: [MailKey] = []

  init(_ harness: MailerHarness, _ store: MailStore, seed: UInt64, flaw: Flaw?, dayLimit: Int) {
    (self.harness, self.store) = (harness, store)
    random = SeededRandom(spread: seed)
    model = SimulatedDatabase(mailboxes: Self.mailboxes, flaw: flaw, dayLimit: dayLimit)
  }

  func run(steps: Int) async throws -> String? {
    for number in 1...steps {
      try await upkeep()
      // What comes later is queued behind what came before.
      now += 1
      let (what, expected, actual) = try await step()
      guard expected == actual else { return "step \(number), \(what): \(expected), in Postgres \(actual)" }
      let (state, stored) = (modelState(), try await storedState())
      guard state == stored else { return "after step \(number), \(what): \(state), in Postgres \(stored)" }
    }
    return nil
  }

  private func step() async throws -> (what: String, expected: String, actual: String) {
    let choice = random.below(13)
    stepsSinceTick += 1
    if choice == 0 || stepsSinceTick > Self.stepsOfATick { return try await pass() }
    if choice <= 3 || mails.isEmpty { return try await accept() }
    if choice <= 5 { return try await claim() }
    if choice == 12 { return try await free() }
    // A mail in some worker's hands, more often than not, and its epoch, or the one before.
    let open = mails.indices.filter { model.jobs[$0] != nil }
    let id = open.isEmpty || random.chance(0.1) ? random.below(mails.count) : open[random.below(open.count)]
    let epoch = max(0, (model.jobs[id]?.epoch ?? 1) - (random.chance(0.3) ? 1 : 0))
    let leased = MailStore.Leased(key: keys[id], googleSub: "sub-user\(mails[id].mailbox)", epoch: epoch)
    switch choice {
    case 7 where random.chance(0.3):
      model.suppressed.insert(id)
      _ = try await store.suppress(
        try SuppressionEntry(Self.domain(id)), tenantID: "acme", reason: nil, source: .platform, actor: nil)
      return ("suppress \(id)", "", "")
    case 6, 7:
      return (
        "intent \(id) \(epoch)", "\(model.recordIntent(id, epoch, now: now))", "\(try await store.recordIntent(leased))"
      )
    case 8:
      return (
        "renew \(id) \(epoch)", "\(model.renewLease(id, epoch, now: now))",
        "\(try await store.renewLease(leased.key, epoch: epoch))"
      )
    case 9: return try await record(id, leased)
    case 10: return try await requeue(id, leased)
    default:
      if random.chance(0.5) {
        return (
          "take back \(id) \(epoch)", "\(model.takeBack(mails[id], epoch))",
          "\(try await store.takeBack(leased, Self.idempotency(mails[id].key)))"
        )
      }
      let isCancelled = model.log[id] == .cancelled || model.cancel(id, now: now)
      return ("cancel \(id)", "\(isCancelled)", "\(try await store.cancel(leased.key) == "cancelled")")
    }
  }

  // MARK: Steps

  private func accept() async throws -> (String, String, String) {
    let mailbox = random.below(Self.mailboxes)
    let policy: SendAttempt.AmbiguityPolicy = random.chance(0.5) ? .retry : .hold
    // A key is one user's.
    let key = random.chance(0.5) ? mailbox * 2 + random.below(2) : nil
    let delay: Duration? = random.chance(0.2) ? Self.pause + Self.tick * random.below(2) : nil
    let mail = SimulatedMail(
      id: mails.count, mailbox: mailbox, policy: policy, isAwaited: true, key: key, isBulk: random.chance(0.3),
      recipients: random.chance(0.3) ? 6 : 1, sendAt: delay.map { now + $0.wholeNanoseconds })
    let atOnce = !mail.isBulk && random.chance(0.6)
    let withPayload = policy == .retry || delay != nil || random.chance(0.5)
    let time = Timestamp(milliseconds: Timestamp.now().milliseconds)
    let mailKey = MailKey(
      tenantID: "acme", userID: "user\(mailbox)", id: UniqueID(at: time, random: (1, UInt64(mail.id))))
    var acceptance = try harness.acceptance(of: mailKey, policy: policy)
    acceptance.message = try OutgoingMessage(
      MessageDraft(
        MailerHarness.mail {
          $0.to = (0..<mail.recipients).map { number in
            Mailer.Address { $0.email = "bob\(number)@\(Self.domain(mail.id))" }
          }
          $0.sendAt = delay.map { ProtobufTimestamp(.now() + $0) }
        }), now: .now())
    (acceptance.isAwaited, acceptance.isBulk) = (true, mail.isBulk)
    acceptance.idempotency = Self.idempotency(key)
    acceptance.worker = atOnce ? "w" : nil
    if !withPayload { acceptance.payload = nil }
    let expected = model.accept(mail, atOnce: atOnce, withPayload: withPayload, now: now)
    let actual = try await store.accept(acceptance)
    if [.sending(epoch: 1), .queued].contains(actual) {
      mails.append(mail)
      keys.append(mailKey)
    }
    return ("accept \(mail.id)", "\(expected)", "\(actual)")
  }

  private func claim() async throws -> (String, String, String) {
    func line(_ id: Int, _ epoch: Int64, _ tries: (Int, Int), _ intent: Bool, _ looks: Bool) -> String {
      "\(id) epoch \(epoch) attempts \(tries) intent \(intent) looks \(looks)"
    }
    func lines(_ claimed: [SimulatedDatabase.Claimed], look: Bool) -> [String] {
      claimed.map {
        line($0.id, $0.job.epoch, ($0.job.attempts, $0.job.ambiguousTries), $0.job.intent, look && $0.job.isParked)
      }
    }
    // What is lost looks for no account: nothing will be sent.
    var expected = lines(model.claimLost(limit: 100, now: now), look: false)
    expected += lines(model.claim(limit: Self.mailboxes, lapsed: true, now: now), look: true)
    var leased = try await store.claimLost(worker: "w", limit: 100)
    leased += try await store.claim(worker: "w", limit: Self.mailboxes, lapsed: true)
    let actual = leased.map { claimed in
      line(
        keys.firstIndex { $0.id == claimed.key.id } ?? -1, claimed.epoch, (claimed.attempts, claimed.ambiguousTries),
        claimed.hasIntent, claimed.looksForAccount)
    }
    return ("claim", "\(expected.sorted())", "\(actual.sorted())")
  }

  private func pass() async throws -> (String, String, String) {
    let ticks = random.below(3) + 1
    now += (Self.tick * ticks).wholeNanoseconds
    let passed: PostgresValue = .seconds(Self.tick * ticks - lastTick.duration(to: .now))
    (lastTick, stepsSinceTick) = (.now, 0)
    try await store.pool.query(
      """
      WITH moved AS (
        UPDATE mailboxes SET next_free_at = next_free_at - s, pace_until = pace_until - s,
          in_flight_until = in_flight_until - s, wake_at = wake_at - s, urgent_at = urgent_at - s
        FROM make_interval(secs => $1) AS s
      )
      UPDATE send_jobs SET lease_until = lease_until - s, run_at = run_at - s FROM make_interval(secs => $1) AS s
      """, [passed], tenant: "acme")
    return ("\(ticks) ticks", "", "")
  }

  /// What a mailer does all the while: every second, once a minute, and by each look for mailboxes with nothing due.
  private func upkeep() async throws {
    try await store.pool.query(
      """
      UPDATE mailboxes SET (wake_at, urgent_at) = (
          SELECT t.wake, t.urgent FROM emailmcp.next_turn(google_sub, next_free_at) AS t)
        WHERE in_flight_until <= clock_timestamp()
      """)
    try await store.pool.query("SELECT emailmcp.repair_wakes()")
    try await store.wakeLapsed()
  }

  private func record(_ id: Int, _ leased: MailStore.Leased) async throws -> (String, String, String) {
    let ends: [(SimulatedDatabase.Status, SendOutcome)] = [
      (.success, .success(messageID: "m", threadID: "t")), (.failed, .failed(.rejected)),
      (.unknown, .unknown(.outcomeUnknown)),
    ]
    let (status, outcome) = ends[random.below(3)]
    let expected = model.record(id, leased.epoch, status)
    let actual = try await store.record(
      .init(outcome: outcome, at: .now(), attempts: 1, recipients: []), of: leased, isAwaited: true)
    return ("record \(id) \(leased.epoch) \(status)", "\(expected)", "\(actual)")
  }

  private func requeue(_ id: Int, _ leased: MailStore.Leased) async throws -> (String, String, String) {
    let delay = random.chance(0.5) ? Self.pause : .zero
    let reason: SendAttempt.Requeue.Reason = [.notSent, .notSent, .ambiguous, .reauthRequired][random.below(4)]
    let pausesMailbox = delay > .zero && reason != .reauthRequired && random.chance(0.5)
    let attempts = random.below(3)
    let runAt = now + delay.wholeNanoseconds
    let expected = model.requeue(
      id, leased.epoch, runAt: runAt, attempts: attempts, freeAt: pausesMailbox ? runAt : nil,
      wasSent: reason == .ambiguous, parks: reason == .reauthRequired, now: now)
    let requeue = SendAttempt.Requeue(
      reason: reason, at: .now() + delay, isFailure: true, pausesMailbox: pausesMailbox)
    let actual = try await store.requeue(
      requeue, of: leased.key, epoch: leased.epoch, googleSub: leased.googleSub, attempts: attempts,
      payload: .whole([1]))
    return ("requeue \(id) \(leased.epoch) \(reason) \(delay) \(pausesMailbox)", "\(expected)", "\(actual)")
  }

  /// The account is back, or one mail is to look whether it is.
  private func free() async throws -> (String, String, String) {
    let mailbox = random.below(Self.mailboxes)
    let connected = random.chance(0.3)
    if connected || random.chance(0.5) {
      let expected = model.lookAgain(connected: connected, now: now)
      return ("look again \(connected)", "\(expected)", "\(try await store.lookAgain(connected: connected))")
    }
    let expected = model.unpark(mailbox, now: now)
    let before: Timestamp = try await store.pool.query("SELECT clock_timestamp()").only()[0]
    let actual = try await store.unpark(UserKey(tenantID: "acme", userID: "user\(mailbox)"))
    // In which order mail goes that is freed at once is nobody's promise; here it is that of their ids.
    try await store.pool.query(
      """
      UPDATE send_jobs s SET run_at = $1 + f.number * interval '1 us'
      FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM send_jobs
        WHERE user_id = $2 AND run_at >= $1 AND run_at <= clock_timestamp()) AS f
      WHERE s.id = f.id
      """, [.timestamp(before), .text("user\(mailbox)")], tenant: "acme")
    return ("unpark \(mailbox)", "\(expected)", "\(actual)")
  }

  /// Of a mail's recipients, and of nobody else.
  private static func domain(_ id: Int) -> String { "mail\(id).example" }

  private static func idempotency(_ key: Int?) -> MailStore.Idempotency? {
    key.map {
      MailStore.Idempotency(
        keyHash: [UInt8](repeating: UInt8($0), count: 32), fingerprint: [UInt8](repeating: 0, count: 32))
    }
  }

  // MARK: State

  /// A line a mail, and one a mailbox with a request under way.
  private func modelState() -> String {
    let lines = mails.indices.map { id in
      let status = model.log[id].map { "\($0)" } ?? "none"
      guard let job = model.jobs[id] else { return "\(id) \(status)" }
      let isLive = job.leaseUntil.map { $0 > now } ?? false
      return """
        \(id) \(status) \(job.epoch) \(isLive) \(job.intent) \(job.attempts) \(job.ambiguousTries) \(job.runAt <= now) \
        \(job.isParked)
        """
    }
    let busy = model.mailboxes.indices.compactMap { box -> String? in
      let mailbox = model.mailboxes[box]
      guard let id = mailbox.inFlight, mailbox.inFlightUntil > now else { return nil }
      return "sub-user\(box) \(id)"
    }
    return (lines + busy).joined(separator: "; ")
  }

  private func storedState() async throws -> String {
    let lines = try await store.pool.query(
      """
      SELECT l.status || coalesce(' ' || s.epoch || ' ' || coalesce(s.lease_until > clock_timestamp(), false) || ' '
          || s.intent || ' ' || s.attempts || ' ' || s.ambiguous_tries || ' ' || (s.run_at <= clock_timestamp()) || ' '
          || (s.parked IS NOT DISTINCT FROM 'reauth_required'), '')
        FROM email_logs l LEFT JOIN send_jobs s USING (tenant_id, user_id, id) ORDER BY l.id
      """, tenant: "acme"
    ).enumerated().map { "\($0) \(try $1.column(0, as: String.self))" }
    let busy = try await store.pool.query(
      """
      SELECT google_sub, in_flight_job FROM mailboxes
      WHERE in_flight_until > clock_timestamp() AND in_flight_job IS NOT NULL ORDER BY google_sub
      """
    ).map { row in
      let job: UniqueID = try row[1]
      return "\(try row.column(0, as: String.self)) \(keys.firstIndex { $0.id == job } ?? -1)"
    }
    return (lines + busy).joined(separator: "; ")
  }
}
