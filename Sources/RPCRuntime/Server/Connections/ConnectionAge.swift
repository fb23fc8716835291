import EventLoop

/// When a server's connection has lived long enough, as a value. Asked about once a second.
///
/// Spec: gRPC A9.
struct ConnectionAge: Equatable {
  enum Reason: String, Equatable { case age, idle }

  enum Action: Equatable {
    case nothing
    /// Takes no more calls; those in flight go on.
    case drain(Reason)
    /// The calls in flight end now, and the connection with them, whether or not the client takes their ends.
    case close
  }

  private let diesAt: Instant?
  private var drainingSince: Instant?
  private var idleSince: Instant
  private var seenCalls = 0

  /// - Parameter random: 0 to 1: spreads connections that were opened together.
  init(now: Instant, random: Double, _ policy: ConnectionPolicy) {
    diesAt = policy.maxAge.map { now + $0 * (0.9 + 0.2 * random) }
    idleSince = now
  }

  /// - Parameters:
  ///   - openCalls: calls in flight.
  ///   - allCalls: calls since the connection was opened.
  mutating func check(now: Instant, openCalls: Int, allCalls: Int, _ policy: ConnectionPolicy) -> Action {
    if let since = drainingSince {
      guard let grace = policy.maxAgeGrace, now - since >= grace else { return .nothing }
      return .close
    }
    if let diesAt, now >= diesAt {
      drainingSince = now
      return .drain(.age)
    }
    if openCalls > 0 || allCalls != seenCalls {
      seenCalls = allCalls
      idleSince = now
    } else if let limit = policy.maxIdle, now - idleSince >= limit {
      drainingSince = now
      return .drain(.idle)
    }
    return .nothing
  }
}
