import CivilTime
import Testing

@testable import MailerService

@Suite("The life of a leased mail")
struct SendAttemptTests {
  static let time = Timestamp(seconds: 1_795_343_940)
  static let success = GmailVerdict.success(messageID: "m", threadID: "t")

  static func attempt(
    until: Duration = .seconds(15), attempts: Int = 0, ambiguous: Int = 0, policy: SendAttempt.AmbiguityPolicy = .hold,
    awaited: Bool = false,
    intent: Bool = false, failingFor: Duration? = nil
  ) -> SendAttempt {
    SendAttempt(
      lease: Lease(epoch: 1, until: until), attempts: attempts, ambiguousTries: ambiguous, policy: policy,
      failingSince: failingFor.map { time - $0 },
      awaitedUntil: awaited ? .seconds(30) : nil, hasIntent: intent)
  }

  /// A mail that is on its way to Gmail.
  static func sending(
    policy: SendAttempt.AmbiguityPolicy = .hold, awaited: Bool = false, attempts: Int = 0, ambiguous: Int = 0,
    failingFor: Duration? = nil
  ) -> SendAttempt {
    var attempt = attempt(
      attempts: attempts, ambiguous: ambiguous, policy: policy, awaited: awaited, intent: true, failingFor: failingFor)
    #expect(attempt.acceptedForSending(now: .zero) == .send)
    return attempt
  }

  static func refusal(_ kind: GmailRefusal.Kind, retryAt: Timestamp? = nil) -> GmailVerdict {
    .refused(GmailRefusal(kind: kind, retryAt: retryAt, reason: "r"))
  }

  @Test("A mail accepted with lease and intent is sent at once and finished")
  func fastPath() {
    var attempt = Self.sending()
    #expect(
      attempt.answered(Self.success, now: .seconds(1), time: Self.time, jitter: 0)
        == .finish(.success(messageID: "m", threadID: "t")))
    #expect(attempt.attempts == 1)
    #expect(attempt.state == .recording)
  }

  @Test("A claimed mail gets its token first, then its intent, then leaves")
  func claimed() {
    var attempt = Self.attempt()
    #expect(attempt.claimed() == .obtainToken)
    #expect(attempt.tokenObtained(now: .seconds(1)) == .recordIntent)
    #expect(attempt.intentAnswered(.recorded, now: .seconds(2), time: Self.time) == .send)
  }

  @Test("With less than the reserve left the lease is renewed before anything leaves")
  func reserve() {
    var attempt = Self.attempt(until: .seconds(15))
    _ = attempt.claimed()
    #expect(attempt.tokenObtained(now: .seconds(10) + .nanoseconds(1)) == .renewLease)
    #expect(attempt.leaseRenewed(until: .seconds(26), now: .seconds(11)) == .recordIntent)
    #expect(attempt.intentAnswered(.recorded, now: .seconds(22), time: Self.time) == .renewLease)
    #expect(attempt.leaseRenewed(until: .seconds(40), now: .seconds(23)) == .send)
    var exact = Self.attempt(until: .seconds(15))
    _ = exact.claimed()
    #expect(exact.tokenObtained(now: .seconds(10)) == .recordIntent)
  }

  @Test("A lost lease ends everything without a write")
  func fenced() {
    var attempt = Self.attempt()
    _ = attempt.claimed()
    _ = attempt.tokenObtained(now: .zero)
    #expect(attempt.leaseLost() == .abandon)
    #expect(attempt.state == .finished)
  }

  @Test("A dead worker's intent makes the fate unknown, or is sent again only where the sender asked for it")
  func recovered() {
    var hold = Self.attempt(intent: true)
    #expect(hold.claimed() == .finish(.unknown(.outcomeUnknown)))
    var retry = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry, intent: true)
    #expect(retry.claimed() == .obtainToken)
    #expect(retry.tokenObtained(now: .zero) == .recordIntent)
    #expect(retry.attempts == 1)
    var worn = Self.attempt(ambiguous: SendAttempt.mostAmbiguousTries, policy: .retry, intent: true)
    #expect(worn.claimed() == .finish(.unknown(.outcomeUnknown)))
  }

  @Test("401 is cured once; the second one parks the mail, or fails it for the one who waits")
  func tokenRejected() {
    var attempt = Self.sending()
    #expect(attempt.answered(Self.refusal(.tokenRejected), now: .zero, time: Self.time, jitter: 0) == .renewToken)
    #expect(attempt.tokenObtained(now: .seconds(1)) == .send)
    #expect(
      attempt.answered(Self.refusal(.tokenRejected), now: .zero, time: Self.time, jitter: 0)
        == .requeue(
          .init(
            reason: .reauthRequired, at: Self.time + SendAttempt.reauthInterval, isFailure: false, pausesMailbox: false)
        ))
    #expect(attempt.attempts == 1)
    var awaited = Self.sending(awaited: true)
    _ = awaited.answered(Self.refusal(.tokenRejected), now: .zero, time: Self.time, jitter: 0)
    #expect(
      awaited.tokenFailed(.reauthRequired, now: .zero, time: Self.time, jitter: 0) == .finish(.failed(.reauthRequired)))
  }

  @Test("A grant that is lost after the wait has ended parks the mail, whose sender was told that it is kept")
  func lostAfterTheWait() {
    for (now, isParked) in [(Duration.seconds(30) - .nanoseconds(1), false), (.seconds(30), true)] {
      var attempt = Self.sending(awaited: true)
      let action = attempt.answered(Self.refusal(.scopeMissing), now: now, time: Self.time, jitter: 0)
      if case .requeue(let requeue) = action {
        #expect(isParked && requeue.reason == .reauthRequired)
      } else {
        #expect(!isParked && action == .finish(.failed(.reauthRequired)))
      }
    }
  }

  @Test(
    "A bad mail fails for good",
    arguments: [
      (.invalidMail, .rejected), (.tooLarge, .tooLarge), (.domainPolicy, .domainPolicy),
      (.notConfigured, .notConfigured),
    ] as [(GmailRefusal.Kind, SendError)])
  func permanent(kind: GmailRefusal.Kind, error: SendError) {
    var attempt = Self.sending(policy: .retry)
    #expect(attempt.answered(Self.refusal(kind), now: .zero, time: Self.time, jitter: 0) == .finish(.failed(error)))
  }

  @Test("Too fast: the whole mailbox waits, at least as long as Gmail says")
  func rateLimited() {
    var attempt = Self.sending()
    #expect(
      attempt.answered(Self.refusal(.rateLimited), now: .zero, time: Self.time, jitter: 0.5)
        == .requeue(.init(reason: .rateLimited, at: Self.time + .seconds(1), isFailure: false, pausesMailbox: true)))
    var told = Self.sending()
    let until = Self.time + .seconds(77)
    #expect(
      told.answered(Self.refusal(.rateLimited, retryAt: until), now: .zero, time: Self.time, jitter: 0.5)
        == .requeue(.init(reason: .rateLimited, at: until, isFailure: false, pausesMailbox: true)))
    var day = Self.sending()
    #expect(
      day.answered(Self.refusal(.mailboxDay, retryAt: until), now: .zero, time: Self.time, jitter: 0)
        == .requeue(.init(reason: .mailboxDay, at: until, isFailure: false, pausesMailbox: true)))
    var soon = Self.sending()
    #expect(
      soon.answered(
        Self.refusal(.mailboxDay, retryAt: Self.time + .seconds(4)), now: .zero, time: Self.time, jitter: 0)
        == .requeue(
          .init(reason: .mailboxDay, at: Self.time + .seconds(4), isFailure: false, pausesMailbox: true)))
  }

  @Test("The project's minute stops every mailbox for a moment, and pauses none")
  func projectRate() {
    var attempt = Self.sending()
    guard
      case .requeue(let requeue) = attempt.answered(
        Self.refusal(.projectRate), now: .zero, time: Self.time, jitter: 0.5)
    else {
      Issue.record("not given back")
      return
    }
    #expect(requeue.pausesProject && !requeue.pausesMailbox && !requeue.isFailure)
    #expect(requeue.at == Self.time + .seconds(1))
  }

  @Test(
    "Whatever Gmail refuses a mail for, one error of the database does not make its fate unknown",
    arguments: [
      .invalidMail, .tooLarge, .scopeMissing, .domainPolicy, .notConfigured, .projectDay, .projectRate, .rateLimited,
      .mailboxDay,
    ] as [GmailRefusal.Kind])
  func refusalIsKept(kind: GmailRefusal.Kind) {
    var attempt = Self.sending()
    let ending = attempt.answered(Self.refusal(kind), now: .zero, time: Self.time, jitter: 0)
    #expect(attempt.databaseFailed(isTransient: true, now: .zero, jitter: 0.5) == .wait(.milliseconds(50)))
    #expect(attempt.waited() == ending)
  }

  @Test("The project's day stops every mailbox")
  func projectDay() {
    var attempt = Self.sending()
    guard
      case .requeue(let requeue) = attempt.answered(Self.refusal(.projectDay), now: .zero, time: Self.time, jitter: 0)
    else {
      Issue.record("not requeued")
      return
    }
    #expect(requeue.pausesProject)
  }

  @Test("A mail that never left goes back to the queue, later and later, for a day at most")
  func notSent() {
    var attempt = Self.sending()
    let again = attempt.answered(.notSent(reason: "connect"), now: .zero, time: Self.time, jitter: 0.5)
    #expect(
      again
        == .requeue(
          .init(
            reason: .notSent, at: Self.time + .milliseconds(250), isFailure: true, pausesMailbox: false,
            failingSince: Self.time)))
    #expect(attempt.attempts == 1)
    var third = Self.sending(attempts: 2)
    #expect(
      third.answered(.notSent(reason: "connect"), now: .zero, time: Self.time, jitter: 0.5)
        == .requeue(
          .init(
            reason: .notSent, at: Self.time + .seconds(1), isFailure: true, pausesMailbox: false,
            failingSince: Self.time)))
    var old = Self.sending(failingFor: SendAttempt.patience)
    #expect(
      old.answered(.notSent(reason: "connect"), now: .zero, time: Self.time, jitter: 0) == .finish(.failed(.gaveUp)))
  }

  @Test("The day of patience begins with the first failure in a row; being told to wait, or a drain, is none")
  func patience() {
    func failingSince(_ action: SendAttempt.Action) -> Timestamp? {
      if case .requeue(let requeue) = action { requeue.failingSince } else { nil }
    }
    let since = Self.time - (SendAttempt.patience - .seconds(1))
    var again = Self.sending(failingFor: SendAttempt.patience - .seconds(1))
    #expect(
      failingSince(again.answered(.notSent(reason: "connect"), now: .zero, time: Self.time, jitter: 0)) == since)
    var noToken = Self.attempt()
    _ = noToken.claimed()
    #expect(failingSince(noToken.tokenFailed(.unavailable, now: .zero, time: Self.time, jitter: 0)) == Self.time)
    var told = Self.sending(failingFor: SendAttempt.patience)
    guard
      case .requeue(let requeue) = told.answered(Self.refusal(.rateLimited), now: .zero, time: Self.time, jitter: 0)
    else {
      Issue.record("given up though Gmail answers")
      return
    }
    #expect(requeue.failingSince == nil)
    var drained = Self.attempt(failingFor: SendAttempt.patience - .seconds(1))
    #expect(failingSince(drained.draining(drained.claimed(), time: Self.time)) == since)
  }

  @Test("Refused on its way, a mail is tried again for a day, and then its sender is told so")
  func forbidden() {
    var attempt = Self.sending()
    guard
      case .requeue(let requeue) = attempt.answered(
        Self.refusal(.forbidden), now: .zero, time: Self.time, jitter: 0.5)
    else {
      Issue.record("not tried again")
      return
    }
    #expect(requeue.failingSince == Self.time && requeue.at == Self.time + .milliseconds(250))
    #expect(!requeue.pausesMailbox && attempt.attempts == 1)
    var old = Self.sending(failingFor: SendAttempt.patience)
    #expect(
      old.answered(Self.refusal(.forbidden), now: .zero, time: Self.time, jitter: 0) == .finish(.failed(.forbidden)))
  }

  @Test("Not processed is repeated at once, and once")
  func notProcessed() {
    var attempt = Self.sending()
    #expect(attempt.answered(.notProcessed, now: .seconds(1), time: Self.time, jitter: 0) == .send)
    guard case .requeue = attempt.answered(.notProcessed, now: .seconds(1), time: Self.time, jitter: 0) else {
      Issue.record("repeated twice")
      return
    }
  }

  @Test("An unknown fate stays unknown under hold; under retry it is tried again a few times")
  func unknown() {
    var hold = Self.sending()
    #expect(
      hold.answered(.unknown(reason: "timeout"), now: .zero, time: Self.time, jitter: 0)
        == .finish(.unknown(.outcomeUnknown)))
    var retry = Self.sending(policy: .retry)
    guard
      case .requeue(let requeue) = retry.answered(.unknown(reason: "timeout"), now: .zero, time: Self.time, jitter: 0)
    else {
      Issue.record("not retried")
      return
    }
    #expect(requeue.reason == .ambiguous)
    var told = Self.sending(policy: .retry)
    let later = Self.time + .seconds(600)
    guard
      case .requeue(let patient) = told.answered(
        .unknown(reason: "http_503", retryAt: later), now: .zero, time: Self.time, jitter: 0)
    else {
      Issue.record("not retried")
      return
    }
    #expect(patient.at == later, "a server that failed said when to come back")
    var worn = Self.sending(policy: .retry, ambiguous: SendAttempt.mostAmbiguousTries - 1)
    #expect(
      worn.answered(.unknown(reason: "timeout"), now: .zero, time: Self.time, jitter: 0)
        == .finish(.unknown(.outcomeUnknown)))
  }

  @Test("Being told to wait uses up none of the tries that a mail may have under retry")
  func ambiguousAlone() {
    var attempt = Self.sending(policy: .retry, attempts: 100)
    for tries in 1...SendAttempt.mostAmbiguousTries {
      let action = attempt.answered(.unknown(reason: "timeout"), now: .zero, time: Self.time, jitter: 0)
      #expect(attempt.attempts == 100 + tries && attempt.ambiguousTries == tries)
      #expect((action == .finish(.unknown(.outcomeUnknown))) == (tries == SendAttempt.mostAmbiguousTries))
    }
  }

  @Test("A refusal after a request of unknown fate is no failure: the first one may have been taken")
  func refusedAfterUnknown() {
    var again = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry)
    _ = again.claimed()
    #expect(again.tokenObtained(now: .zero) == .recordIntent)
    #expect(again.intentAnswered(.recorded, now: .zero, time: Self.time) == .send)
    #expect(
      again.answered(Self.refusal(.invalidMail), now: .zero, time: Self.time, jitter: 0)
        == .finish(.unknown(.outcomeUnknown)))
    var recovered = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry, intent: true)
    _ = recovered.claimed()
    #expect(
      recovered.tokenFailed(.otherAccount, now: .zero, time: Self.time, jitter: 0) == .finish(.unknown(.outcomeUnknown))
    )
  }

  @Test("An ending that the database does not take is tried again until it does; any other step is left to the lease")
  func databaseAway() {
    var attempt = Self.sending()
    let ending = attempt.answered(Self.success, now: .zero, time: Self.time, jitter: 0)
    #expect(attempt.databaseFailed(isTransient: true, now: .seconds(1), jitter: 0.5) == .wait(.milliseconds(50)))
    #expect(attempt.waited() == ending)
    #expect(attempt.databaseFailed(isTransient: true, now: .seconds(3600), jitter: 0.5) == .wait(.milliseconds(100)))
    #expect(attempt.waited() == ending)

    var refused = Self.sending()
    let requeue = refused.answered(Self.refusal(.rateLimited), now: .zero, time: Self.time, jitter: 0)
    _ = refused.databaseFailed(isTransient: true, now: .zero, jitter: 0)
    #expect(refused.waited() == requeue)
    #expect(refused.databaseFailed(isTransient: false, now: .zero, jitter: 0) == .abandon)

    var renewal = Self.attempt(until: .seconds(3))
    _ = renewal.claimed()
    #expect(renewal.tokenObtained(now: .zero) == .renewLease)
    #expect(renewal.databaseFailed(isTransient: true, now: .zero, jitter: 0) == .abandon)
  }

  @Test("While the database is away, and a moment longer, lapsed leases are left to who had them")
  func headStart() {
    var start = HeadStart()
    #expect(start.whenOver == nil)
    for second in [0, 6] { start.looked(at: Self.second(second)) }
    #expect(start.whenOver == Self.second(7)..<Self.second(13))
    start.looked(at: nil)
    #expect(start.whenOver == nil)
    for second in [8, 14] { start.looked(at: Self.second(second)) }
    #expect(start.whenOver == Self.second(15)..<Self.second(21))
  }

  /// Found by seed 612983 of the simulation: the first look after a pause told a mail as unknown that its worker knew to be
  /// sent.
  @Test("One who slept through the database's absence leaves lapsed leases alone for as long as who saw it")
  func headStartAfterSleep() {
    var start = HeadStart()
    for second in [0, 5, 10] { start.looked(at: Self.second(second)) }
    #expect(start.whenOver == Self.second(7)..<Self.second(17))
    start.looked(at: Self.second(17))
    #expect(start.whenOver?.isEmpty == true)
    // A clock that was set back tells as little.
    for second in [23, 16] { start.looked(at: Self.second(second)) }
    #expect(start.whenOver?.isEmpty == true)
  }

  private static func second(_ number: Int) -> Timestamp { time + .seconds(number) }

  @Test("A mail to one who unsubscribed while it waited fails and is not sent; one that may have been sent is unknown")
  func suppressed() {
    for (tries, outcome) in [
      (0, SendOutcome.failed(.recipientSuppressed)), (1, .unknown(.outcomeUnknown)),
    ] {
      var attempt = Self.attempt(ambiguous: tries, policy: .retry)
      _ = attempt.claimed()
      _ = attempt.tokenObtained(now: .zero)
      #expect(attempt.intentAnswered(.suppressed, now: .zero, time: Self.time) == .finish(outcome))
      #expect(attempt.attempts == 0)
    }
  }

  @Test("A mail whose tenant has been disabled goes back to the queue, and counts no try", arguments: [0, 1])
  func tenantDisabled(ambiguous: Int) {
    var attempt = Self.attempt(ambiguous: ambiguous, policy: .retry, failingFor: .seconds(60))
    _ = attempt.claimed()
    _ = attempt.tokenObtained(now: .zero)
    #expect(
      attempt.intentAnswered(.disabled, now: .zero, time: Self.time)
        == .requeue(
          .init(
            reason: .tenantDisabled, at: Self.time, isFailure: false, pausesMailbox: false,
            failingSince: Self.time - .seconds(60))))
    #expect(attempt.attempts == 0)
  }

  /// It went by the intent of the worker that died, which a tenant that had been disabled since could not stop.
  @Test("Under retry what a dead worker left is sent under an intent of its own")
  func intentOfItsOwn() {
    var attempt = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry, intent: true)
    #expect(attempt.claimed() == .obtainToken)
    #expect(attempt.tokenObtained(now: .zero) == .recordIntent)
    #expect(attempt.intentAnswered(.recorded, now: .zero, time: Self.time) == .send)
  }

  @Test("An intent whose answer is lost is recorded again while the lease has its reserve, for no byte has left")
  func intentUnanswered() {
    func recording() -> SendAttempt {
      var attempt = Self.attempt(until: .seconds(15))
      _ = attempt.claimed()
      #expect(attempt.tokenObtained(now: .zero) == .recordIntent)
      return attempt
    }
    var attempt = recording()
    #expect(attempt.databaseFailed(isTransient: true, now: .seconds(1), jitter: 0.5) == .wait(.milliseconds(50)))
    #expect(attempt.waited() == .recordIntent)
    #expect(attempt.databaseFailed(isTransient: true, now: .seconds(10), jitter: 0.5) == .wait(.milliseconds(100)))
    #expect(attempt.waited() == .recordIntent)
    var late = attempt
    #expect(
      late.databaseFailed(isTransient: true, now: .seconds(10) + .nanoseconds(1), jitter: 0.5) == .abandon)
    #expect(attempt.intentAnswered(.recorded, now: .seconds(10), time: Self.time) == .send)
    let ending = attempt.answered(Self.success, now: .seconds(70), time: Self.time, jitter: 0)
    #expect(attempt.databaseFailed(isTransient: true, now: .seconds(70), jitter: 0.5) == .wait(.milliseconds(50)))
    #expect(attempt.waited() == ending)
    var refused = recording()
    #expect(refused.databaseFailed(isTransient: false, now: .zero, jitter: 0) == .abandon)
    var fenced = recording()
    _ = fenced.databaseFailed(isTransient: true, now: .zero, jitter: 0)
    _ = fenced.waited()
    #expect(fenced.intentAnswered(.lost, now: .seconds(1), time: Self.time) == .abandon)
    var draining = recording()
    _ = draining.databaseFailed(isTransient: true, now: .zero, jitter: 0)
    #expect(
      draining.draining(draining.waited(), time: Self.time)
        == .requeue(.init(reason: .drained, at: Self.time, isFailure: false, pausesMailbox: false)))
  }

  @Test(
    "A mail that does not open goes back to the queue for a day; then it fails, or is unknown where it may have left")
  func unreadable() {
    var attempt = Self.attempt()
    _ = attempt.claimed()
    #expect(
      attempt.payloadUnreadable(time: Self.time, jitter: 0.5)
        == .requeue(
          .init(
            reason: .unreadable, at: Self.time + .seconds(60), isFailure: false, pausesMailbox: false,
            failingSince: Self.time)))
    var old = Self.attempt(failingFor: SendAttempt.patience)
    _ = old.claimed()
    #expect(old.payloadUnreadable(time: Self.time, jitter: 0) == .finish(.failed(.unreadable)))
    var tried = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry)
    _ = tried.claimed()
    #expect(tried.payloadUnreadable(time: Self.time, jitter: 0) == .finish(.unknown(.outcomeUnknown)))
    var toldToWait = Self.attempt(attempts: 1, policy: .retry, failingFor: SendAttempt.patience)
    _ = toldToWait.claimed()
    #expect(toldToWait.payloadUnreadable(time: Self.time, jitter: 0) == .finish(.failed(.unreadable)))
    var recovered = Self.attempt(attempts: 1, ambiguous: 1, policy: .retry, intent: true)
    _ = recovered.claimed()
    #expect(recovered.payloadUnreadable(time: Self.time, jitter: 0) == .finish(.unknown(.outcomeUnknown)))
  }

  @Test("A drain gives back what has not left, and nothing else")
  func drained() {
    var attempt = Self.attempt()
    let first = attempt.claimed()
    #expect(
      attempt.draining(first, time: Self.time)
        == .requeue(.init(reason: .drained, at: Self.time, isFailure: false, pausesMailbox: false)))
    var sending = Self.sending()
    #expect(sending.draining(.send, time: Self.time) == .send)
  }

  @Test("Another account than the one it was accepted for never sends it")
  func otherAccount() {
    var attempt = Self.attempt()
    _ = attempt.claimed()
    #expect(
      attempt.tokenFailed(.otherAccount, now: .zero, time: Self.time, jitter: 0) == .finish(.failed(.otherAccount)))
  }
}

@Suite("The pace of a mailbox")
struct MailboxPaceTests {
  @Test("Under any arrivals no 60 seconds hold more than the quota", arguments: [100, 1000, 6000, 15_000])
  func neverMore(units: Int) {
    let terms = MailboxPace.Terms(unitsPerMinute: units)
    var random = SystemRandomNumberGenerator()
    for _ in 0..<40 {
      var pace = PacedMailbox()
      var now: Duration = .seconds(1000)
      var starts: [Duration] = []
      let eagerness = Int64.random(in: 1...4000, using: &random)
      for _ in 0..<2000 {
        now += .milliseconds(Int64.random(in: 0...eagerness, using: &random))
        if Int.random(in: 0..<100, using: &random) == 0 { now += .seconds(Int64.random(in: 1...90, using: &random)) }
        if pace.take(at: now, terms) == .go { starts.append(now) }
      }
      var first = 0
      for index in starts.indices {
        while starts[index] - starts[first] >= .seconds(60) { first += 1 }
        #expect(index - first + 1 <= units / 100)
      }
    }
  }

  @Test("A full queue uses the whole quota")
  func saturated() {
    let terms = MailboxPace.Terms(unitsPerMinute: 6000)
    var pace = PacedMailbox()
    var now: Duration = .zero
    var sent = 0
    while now < .seconds(600) {
      switch pace.take(at: now, terms) {
      case .go: sent += 1
      case .wait(let until): now = until
      }
    }
    #expect(sent == 600)
  }

  @Test("After a rest a few mails go at once")
  func burst() {
    let terms = MailboxPace.Terms(unitsPerMinute: 6000)
    var pace = PacedMailbox()
    let turns = (0..<12).map { _ in pace.take(at: .seconds(100), terms) }
    #expect(turns.prefix(11).allSatisfy { $0 == .go })
    #expect(turns[11] == .wait(until: .seconds(111)))
  }
}
