import CivilTime

/// The life of one leased mail in a worker's hands, as a value: each input returns what to do next.
///
/// It keeps the promise of the service: no byte leaves before the intent is recorded under a live lease; a mail whose
/// fate is unknown is sent again only if its sender asked for that; a mail is given up only where Gmail refused it.
///
/// The clock is given with each input, monotonic for the lease (`now`) and civil for plans (`time`).
struct SendAttempt: Sendable, Equatable {
  enum State: Sendable, Equatable {
    case ready
    case obtainingToken
    case renewingLease
    case recordingIntent
    case sending
    case renewingToken
    /// The outcome, or where the mail goes instead, is decided and being recorded.
    case recording
    case finished
  }

  enum Action: Sendable, Equatable {
    case obtainToken
    /// Ask for a newer token, once, because Gmail refused this one.
    case renewToken
    case renewLease
    case recordIntent
    case send
    /// Record the final status; the lease's epoch is the fence.
    case finish(SendOutcome)
    /// Give the mail back to the queue for later.
    case requeue(Requeue)
    /// Wait, then ask `waited` what to do.
    case wait(Duration)
    /// Touch nothing: somebody else has it now, or its lease lapses and the next worker decides by the intent.
    case abandon
  }

  struct Requeue: Sendable, Equatable {
    enum Reason: String, Sendable {
      case notSent = "not_sent"
      case forbidden
      case rateLimited = "rate_limited"
      case mailboxDay = "daily_limit"
      case projectDay = "project_daily_limit"
      case projectRate = "project_rate_limited"
      case reauthRequired = "reauth_required"
      case tokenUnavailable = "token_unavailable"
      case unreadable
      case tenantDisabled = "tenant_disabled"
      case ambiguous
      case drained
    }

    var reason: Reason
    var at: Timestamp
    /// Counts as a try of this mail; being told to wait does not.
    var isFailure: Bool
    /// The whole mailbox waits, not this mail alone.
    var pausesMailbox: Bool
    /// All mailboxes wait.
    var pausesProject = false
    /// When the first failure in a row was; nil: this is none.
    var failingSince: Timestamp?
  }

  enum TokenFailure: Sendable, Equatable {
    case reauthRequired
    /// The account connected now is not the one that the mail was accepted for.
    case otherAccount
    case unavailable
  }

  /// What the database says to an intent.
  enum Intent: String, Sendable {
    case recorded
    /// Not recorded: a recipient has come onto the tenant's suppression list since the mail was accepted.
    case suppressed
    /// Not recorded: the tenant has been disabled.
    case disabled
    /// Refused by the epoch.
    case lost
  }

  /// What to do about a mail whose fate is unknown.
  enum AmbiguityPolicy: String, Sendable { case hold, retry }

  /// After this long an unreachable Gmail fails the mail: from its first failure in a row, however long it waited before.
  static let patience: Duration = .seconds(24 * 3600)
  /// A mail that waits for its account to be connected again looks this often whether it is, besides being told.
  static let reauthInterval: Duration = .seconds(300)
  /// How soon to ask again for a token while nobody can give one.
  static let tokenInterval: Duration = .seconds(5)
  /// How soon to look again at a mail that does not open: its key is the operator's to give back.
  static let unreadableInterval: Duration = .seconds(60)
  /// Requests of unknown fate under `retry` before that is recorded after all.
  static let mostAmbiguousTries = 5

  private(set) var state: State = .ready
  private(set) var lease: Lease
  /// Requests so far that may have reached Gmail, and failures to reach it.
  private(set) var attempts: Int
  /// Those of them whose fate nobody knows, here or in other workers' hands.
  private(set) var ambiguousTries: Int
  let policy: AmbiguityPolicy
  /// The first of the failures in a row before this try.
  let failingSince: Timestamp?
  /// Until then somebody waits for the outcome, and a lost grant is told as a failure instead of parking the mail.
  let awaitedUntil: Duration?
  private var hasIntent: Bool
  private var hasRenewedToken = false
  private var hasRepeatedUnprocessed = false
  /// What the database is to be told, while it is.
  private var ending: Action?
  private var intentFailures = 0
  private var recordFailures = 0

  /// - Parameter hasIntent: recorded already: together with the acceptance, or by a worker that died.
  init(
    lease: Lease, attempts: Int, ambiguousTries: Int, policy: AmbiguityPolicy, failingSince: Timestamp?,
    awaitedUntil: Duration?, hasIntent: Bool
  ) {
    self.lease = lease
    self.attempts = attempts
    self.ambiguousTries = ambiguousTries
    self.policy = policy
    self.failingSince = failingSince
    self.awaitedUntil = awaitedUntil
    self.hasIntent = hasIntent
  }

  /// From then on the mail can be `success` or `unknown`, and never `failed`.
  private var mayHaveBeenSent: Bool { ambiguousTries > 0 }

  // MARK: Beginnings

  /// The mail was accepted, leased and its intent recorded in one transaction by this very worker.
  mutating func acceptedForSending(now: Duration) -> Action {
    sendOrRenew(now: now)
  }

  /// The mail was claimed from the queue. Intent without outcome means that a worker died with it: its fate is unknown.
  /// That try is among `ambiguousTries`: the claim has counted it.
  mutating func claimed() -> Action {
    if hasIntent, !mayTryAgain { return finish(.unknown(.outcomeUnknown)) }
    // The request to come is a new one and has an intent of its own: its tenant may have been disabled since.
    hasIntent = false
    state = .obtainingToken
    return .obtainToken
  }

  /// After a request of unknown fate.
  private var mayTryAgain: Bool { policy == .retry && ambiguousTries < Self.mostAmbiguousTries }

  /// What the queue keeps does not open, for want of its key: the mailbox goes on without it.
  mutating func payloadUnreadable(time: Timestamp, jitter: Double) -> Action {
    let since = failingSince ?? time
    guard !mayHaveBeenSent, time - since < Self.patience else { return finish(.failed(.unreadable)) }
    let at = time + RetryDelay.spread(Self.unreadableInterval, jitter: jitter)
    return giveBack(
      Requeue(reason: .unreadable, at: at, isFailure: false, pausesMailbox: false, failingSince: since))
  }

  // MARK: Steps

  /// What to do instead of `action` when the process is about to stop: what has not left goes back to the queue, and
  /// whoever is next may have it.
  mutating func draining(_ action: Action, time: Timestamp) -> Action {
    switch action {
    case .obtainToken, .recordIntent: requeue(.drained, at: time, isFailure: false, time: time)
    default: action
    }
  }

  mutating func tokenObtained(now: Duration) -> Action {
    if state == .renewingToken || hasIntent { return sendOrRenew(now: now) }
    guard lease.hasReserve(at: now) else {
      state = .renewingLease
      return .renewLease
    }
    state = .recordingIntent
    return .recordIntent
  }

  mutating func tokenFailed(_ failure: TokenFailure, now: Duration, time: Timestamp, jitter: Double) -> Action {
    switch failure {
    case .otherAccount: return finish(.failed(.otherAccount))
    case .reauthRequired: return lostGrant(now: now, time: time)
    case .unavailable:
      let delay = RetryDelay.spread(Self.tokenInterval, jitter: jitter)
      return requeue(.tokenUnavailable, at: time + delay, isFailure: false, time: time)
    }
  }

  mutating func intentAnswered(_ intent: Intent, now: Duration, time: Timestamp) -> Action {
    switch intent {
    case .recorded:
      hasIntent = true
      return sendOrRenew(now: now)
    case .suppressed: return finish(.failed(.recipientSuppressed))
    case .disabled:
      return giveBack(
        Requeue(reason: .tenantDisabled, at: time, isFailure: false, pausesMailbox: false, failingSince: failingSince))
    case .lost: return leaseLost()
    }
  }

  /// - Parameter isMine: false: the epoch refused the write.
  mutating func leaseRenewed(isMine: Bool = true, until: Duration, now: Duration) -> Action {
    guard isMine else { return leaseLost() }
    lease.until = until
    guard state == .renewingLease else { return .send }
    guard hasIntent else {
      state = .recordingIntent
      return .recordIntent
    }
    return sendOrRenew(now: now)
  }

  /// A write was refused by the epoch, or a renewal came too late.
  mutating func leaseLost() -> Action {
    state = .finished
    return .abandon
  }

  /// The database did not take the last step, or its answer was lost. An ending is known here and nowhere else: it is tried
  /// again until the database answers, and so is an intent while the lease allows a request. Anything else is left to the
  /// lease.
  /// - Parameter isTransient: the same step may well succeed later.
  mutating func databaseFailed(isTransient: Bool, now: Duration, jitter: Double) -> Action {
    // Left to the lease, an intent that was recorded would make a mail unknown of which no byte has left.
    if state == .recordingIntent, isTransient, lease.hasReserve(at: now) {
      intentFailures += 1
      return .wait(RetryDelay.database.delay(failures: intentFailures, jitter: jitter))
    }
    guard state == .recording, isTransient else { return leaseLost() }
    recordFailures += 1
    return .wait(RetryDelay.database.delay(failures: recordFailures, jitter: jitter))
  }

  /// The wait is over: the step is tried again.
  mutating func waited() -> Action { state == .recordingIntent ? .recordIntent : ending ?? leaseLost() }

  /// The database took the ending, or refused it by the epoch.
  mutating func ended() { state = .finished }

  // MARK: Answers

  mutating func answered(_ verdict: GmailVerdict, now: Duration, time: Timestamp, jitter: Double) -> Action {
    switch verdict {
    case .success(let messageID, let threadID):
      attempts += 1
      return finish(.success(messageID: messageID, threadID: threadID))
    case .refused(let refusal):
      return refused(refusal, now: now, time: time, jitter: jitter)
    case .notProcessed where !hasRepeatedUnprocessed:
      hasRepeatedUnprocessed = true
      return sendOrRenew(now: now)
    case .notSent, .notProcessed:
      let delay = RetryDelay.connection.delay(failures: attempts + 1, jitter: jitter)
      return requeue(.notSent, at: time + delay, isFailure: true, time: time)
    case .unknown(_, let retryAt):
      attempts += 1
      ambiguousTries += 1
      guard mayTryAgain else { return finish(.unknown(.outcomeUnknown)) }
      let delay = RetryDelay.rateLimit.delay(failures: ambiguousTries, jitter: jitter)
      let soonest = max(time + delay, retryAt ?? time)
      return giveBack(Requeue(reason: .ambiguous, at: soonest, isFailure: false, pausesMailbox: false))
    }
  }

  private mutating func refused(
    _ refusal: GmailRefusal, now: Duration, time: Timestamp, jitter: Double
  ) -> Action {
    if refusal.kind != .tokenRejected || hasRenewedToken { attempts += 1 }
    switch refusal.kind {
    case .invalidMail: return finish(.failed(.rejected))
    case .tooLarge: return finish(.failed(.tooLarge))
    case .domainPolicy: return finish(.failed(.domainPolicy))
    case .notConfigured: return finish(.failed(.notConfigured))
    case .forbidden:
      let delay = RetryDelay.connection.delay(failures: attempts, jitter: jitter)
      return requeue(.forbidden, at: time + delay, isFailure: false, time: time, givingUp: .forbidden)
    case .scopeMissing: return lostGrant(now: now, time: time)
    case .tokenRejected:
      guard !hasRenewedToken else { return lostGrant(now: now, time: time) }
      hasRenewedToken = true
      state = .renewingToken
      return .renewToken
    case .rateLimited, .mailboxDay:
      let soonest = time + RetryDelay.rateLimit.delay(failures: attempts, jitter: jitter)
      let (reason, usual): (Requeue.Reason, _) =
        refusal.kind == .rateLimited ? (.rateLimited, soonest) : (.mailboxDay, time + .seconds(3600))
      let at = max(soonest, refusal.retryAt ?? usual)
      return giveBack(Requeue(reason: reason, at: at, isFailure: false, pausesMailbox: true))
    case .projectRate:
      // The whole project waits for a moment, and goes on more slowly; no mailbox is to blame.
      let soonest = time + RetryDelay.rateLimit.delay(failures: 1, jitter: jitter)
      return pauseProject(.projectRate, at: max(soonest, refusal.retryAt ?? time))
    case .projectDay:
      return pauseProject(.projectDay, at: max(refusal.retryAt ?? time + .seconds(900), time + .seconds(60)))
    }
  }

  // MARK: Endings

  private mutating func sendOrRenew(now: Duration) -> Action {
    guard lease.hasReserve(at: now) else {
      state = .renewingLease
      return .renewLease
    }
    state = .sending
    return .send
  }

  private mutating func finish(_ outcome: SendOutcome) -> Action {
    // Refused or given up now, but an earlier request may have been taken.
    if case .failed = outcome, mayHaveBeenSent { return record(.finish(.unknown(.outcomeUnknown))) }
    return record(.finish(outcome))
  }

  private mutating func giveBack(_ requeue: Requeue) -> Action { record(.requeue(requeue)) }

  private mutating func record(_ action: Action) -> Action {
    state = .recording
    ending = action
    return action
  }

  private mutating func lostGrant(now: Duration, time: Timestamp) -> Action {
    if let awaitedUntil, now < awaitedUntil { return finish(.failed(.reauthRequired)) }
    return giveBack(
      Requeue(reason: .reauthRequired, at: time + Self.reauthInterval, isFailure: false, pausesMailbox: false))
  }

  private mutating func pauseProject(_ reason: Requeue.Reason, at: Timestamp) -> Action {
    giveBack(Requeue(reason: reason, at: at, isFailure: false, pausesMailbox: false, pausesProject: true))
  }

  private mutating func requeue(
    _ reason: Requeue.Reason, at: Timestamp, isFailure: Bool, time: Timestamp, givingUp: SendError = .gaveUp
  ) -> Action {
    if isFailure { attempts += 1 }
    let isTry = reason != .drained
    if isTry, let failingSince, time - failingSince >= Self.patience { return finish(.failed(givingUp)) }
    let since = failingSince ?? (isTry ? time : nil)
    return giveBack(
      Requeue(reason: reason, at: at, isFailure: isFailure, pausesMailbox: false, failingSince: since))
  }
}
