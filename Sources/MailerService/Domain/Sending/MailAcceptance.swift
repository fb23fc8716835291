/// How one mail is taken, as a value: at once with lease and intent where that can be, else into the queue; and how an
/// acceptance is taken back whose answer was lost.
struct MailAcceptance: Sendable, Equatable {
  enum Action: Sendable, Equatable {
    /// Run the accepting transaction. `atOnce`: leased to this process, with the intent recorded, where the mailbox is
    /// free. `withPayload`: what the queue needs to send it.
    case store(atOnce: Bool, withPayload: Bool)
    /// It is this process's to send, under this epoch.
    case send(epoch: Int64)
    case queued
    /// Nothing was kept.
    case refuse(MailStore.Accepted)
    /// Tell the caller that the database is away. With `takeBack`, the mail may be there all the same: end it.
    case fail(takeBack: TakeBack?)
  }

  private let policy: SendAttempt.AmbiguityPolicy
  private let isKeyed: Bool
  private var isAtOnce: Bool
  private var hasPayload: Bool

  /// - Parameter atOnce: somebody waits for the outcome, a token is at hand, and nothing keeps this process from sending.
  /// - Parameter isKeyed: its sender gave an idempotency key.
  init(atOnce: Bool, policy: SendAttempt.AmbiguityPolicy, isKeyed: Bool) {
    self.policy = policy
    self.isKeyed = isKeyed
    isAtOnce = atOnce
    // Mail that goes at once under `hold` is not kept in the queue's table: were this process to die with it, its fate
    // would be unknown and nobody would send it again. So it is sealed and stored only when it has to wait.
    hasPayload = !atOnce || policy == .retry
  }

  func begin() -> Action { .store(atOnce: isAtOnce, withPayload: hasPayload) }

  mutating func answered(_ answer: MailStore.Accepted) -> Action {
    switch answer {
    case .sending(let epoch): return .send(epoch: epoch)
    case .queued: return .queued
    case .busy where !hasPayload:
      (isAtOnce, hasPayload) = (false, true)
      return begin()
    case .busy, .duplicate, .suppressed, .tenantDisabled, .accountChanged: return .refuse(answer)
    }
  }

  /// The transaction failed.
  /// - Parameter mayHaveExecuted: it may have been committed although no answer came.
  func failed(mayHaveExecuted: Bool) -> Action {
    // What the queue can send is left to it where there is a key: asking again with that key tells what became of it, and
    // may have told "accepted" by now.
    guard mayHaveExecuted, !(isKeyed && hasPayload) else { return .fail(takeBack: nil) }
    return .fail(takeBack: TakeBack(isAtOnce: isAtOnce, isQueueable: hasPayload))
  }
}

/// Ends a mail whose acceptance may have been committed although no answer came. It was not acknowledged and should not
/// be sent, so it is ended as soon as the database is there again, as long as it is in nobody's hands.
///
/// Only epochs that can be nobody else's are ended as `failed`: 1 is this process's own where the mail could not have been
/// queued, and the first claimer's where it could; 0 is a queued mail that nobody has claimed.
struct TakeBack: Sendable, Equatable {
  enum Action: Sendable, Equatable {
    /// Record under this epoch that it was not accepted, and give its idempotency key back.
    case record(epoch: Int64)
    /// Take it back as its sender could.
    case cancel
    /// Wait, then ask `waited`.
    case wait(Duration)
    case done
  }

  /// After so many failures the mail is left to its lease or the queue.
  static let tries = 20

  private let isQueueable: Bool
  private var next: Action
  private var failures = 0

  init(isAtOnce: Bool, isQueueable: Bool) {
    self.isQueueable = isQueueable
    next = .record(epoch: isAtOnce && !isQueueable ? 1 : 0)
  }

  func begin() -> Action { next }

  /// - Parameter isDone: the step ended the mail.
  mutating func answered(isDone: Bool) -> Action {
    if case .record = next, !isDone, isQueueable { next = .cancel } else { next = .done }
    return next
  }

  mutating func failed(jitter: Double) -> Action {
    failures += 1
    guard failures < Self.tries else { return .done }
    return .wait(RetryDelay.database.delay(failures: failures + 1, jitter: jitter))
  }

  func waited() -> Action { next }
}
