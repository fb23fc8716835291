import EventLoop

/// Which calls of a server begin, wait or are turned away, as a value.
///
/// Two classes of calls: those whose latency shows load (unary methods, unless they say otherwise) stand under the
/// adaptive limit and may wait; the others, streams above all, stand under the fixed limit alone.
struct Admission {
  enum Verdict: Equatable {
    case run
    case queue
    case shed
  }

  private let policy: ConcurrencyPolicy
  private(set) var adaptive: AdaptiveLimit?
  private(set) var running = 0
  private(set) var measured = 0
  private(set) var queued = 0
  /// Calls that were turned away.
  private(set) var shedCount = 0

  init(_ policy: ConcurrencyPolicy) {
    self.policy = policy
    adaptive = policy.adaptive.map { AdaptiveLimit($0) }
  }

  /// How many measured calls may run.
  var limit: Int { min(adaptive?.limit ?? policy.maxCalls, policy.maxCalls) }

  private var hasRoom: Bool { running < policy.maxCalls && measured < limit }

  /// A call is here, complete enough to begin.
  mutating func arrived(isMeasured: Bool) -> Verdict {
    if isMeasured ? queued == 0 && hasRoom : running < policy.maxCalls {
      began(isMeasured: isMeasured)
      return .run
    }
    guard isMeasured, queued < policy.maxQueuedCalls else {
      shedCount += 1
      return .shed
    }
    queued += 1
    return .queue
  }

  private mutating func began(isMeasured: Bool) {
    running += 1
    if isMeasured { measured += 1 }
  }

  /// A call that ran has ended.
  ///
  /// - Parameter latency: what it took, when that says something; nil for calls that are not measured or were given up.
  mutating func ended(isMeasured: Bool, latency: Duration?, now: Instant) {
    if isMeasured, let latency { adaptive?.ended(latency: latency, running: measured, now: now) }
    running -= 1
    if isMeasured { measured -= 1 }
  }

  /// - Returns: whether the first call that waits begins now.
  mutating func takeQueued() -> Bool {
    guard queued > 0, hasRoom else { return false }
    queued -= 1
    began(isMeasured: true)
    return true
  }

  /// A call that waited is gone: its caller went, its time was up, or it waited too long.
  ///
  /// - Parameter isShed: whether the server turned it away.
  mutating func leftQueue(isShed: Bool) {
    queued -= 1
    if isShed { shedCount += 1 }
  }
}
