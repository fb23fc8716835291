/// The parallel attempts of one call, as a value.
struct HedgeState: Equatable {
  enum Action: Equatable {
    /// Send the attempt with this number.
    case send(Int)
    /// Say `delayElapsed` after it; takes the place of an earlier one.
    case schedule(Duration)
    /// The outcome of this attempt is the call's; the others are cancelled.
    case conclude(Int)
  }

  private let policy: HedgingPolicy
  private var sent = 0
  private var outstanding = 0
  private var lastFailed = 0
  /// The server has said that it wants no more.
  private var isStopped = false
  private var isOver = false

  init(_ policy: HedgingPolicy) { self.policy = policy }

  private var hasMore: Bool { !isStopped && sent < policy.maxAttempts }

  mutating func begin() -> [Action] { send() }

  private mutating func send() -> [Action] {
    let number = sent
    sent += 1
    outstanding += 1
    return hasMore ? [.send(number), .schedule(policy.delay)] : [.send(number)]
  }

  /// - Parameters:
  ///   - mayHedge: whether the budget allows another attempt.
  ///   - timeLeft: until the deadline; nil without one. No attempt begins beyond it.
  mutating func delayElapsed(mayHedge: Bool, timeLeft: Duration? = nil) -> [Action] {
    guard !isOver, hasMore else { return [] }
    if mayHedge, !Self.isBeyond(.zero, timeLeft) { return send() }
    return outstanding == 0 ? conclude(lastFailed) : []
  }

  private static func isBeyond(_ delay: Duration, _ timeLeft: Duration?) -> Bool {
    timeLeft.map { $0 <= delay } ?? false
  }

  /// An attempt has ended.
  ///
  /// - Parameter timeLeft: until the deadline; nil without one. A wait beyond it is not begun: the failure tells more.
  mutating func ended(
    _ number: Int, _ code: StatusCode, _ pushback: Pushback, mayHedge: Bool, timeLeft: Duration? = nil
  ) -> [Action] {
    guard !isOver else { return [] }
    outstanding -= 1
    guard policy.nonFatalCodes.contains(code) else { return conclude(number) }
    lastFailed = number
    switch pushback {
    case .stop: isStopped = true
    case .delay(let delay) where Self.isBeyond(delay, timeLeft): isStopped = true
    case .delay(let delay) where hasMore: return [.schedule(delay)]
    case .delay: break
    case .none where hasMore && mayHedge && !Self.isBeyond(.zero, timeLeft): return send()
    case .none: break
    }
    return outstanding == 0 ? conclude(number) : []
  }

  private mutating func conclude(_ number: Int) -> [Action] {
    isOver = true
    return [.conclude(number)]
  }
}
