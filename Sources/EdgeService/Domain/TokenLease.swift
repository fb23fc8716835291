/// Request tokens that a replica has taken from a shared bucket ahead of need, and the time until which there are none.
/// The bucket in the database decides; this only saves trips to it.
struct TokenLease: Sendable {
  /// What to do for one request.
  enum Decision: Equatable {
    case admit
    /// Ask the bucket for so many.
    case ask(Int)
    /// Nanoseconds until it is worth asking again.
    case refuse(UInt64)
  }

  private var tokens = 0
  private var leasedAt: UInt64 = 0
  private var blockedUntil: UInt64 = 0
  private(set) var usedAt: UInt64 = 0

  /// Leased tokens that are not used within this time are given up, so that no replica sits on others' share.
  static let lifetime: UInt64 = 1_000_000_000

  mutating func decide(batch: Int, now: UInt64) -> Decision {
    usedAt = now
    if now < blockedUntil { return .refuse(blockedUntil - now) }
    if tokens > 0, now - leasedAt < Self.lifetime {
      tokens -= 1
      return .admit
    }
    tokens = 0
    return .ask(batch)
  }

  /// The bucket's answer to an `ask`.
  mutating func granted(_ count: Int, retryAfter: UInt64, now: UInt64) -> Decision {
    guard count > 0 else {
      if tokens > 0 {
        // Another request's lease came in between.
        tokens -= 1
        return .admit
      }
      // At least a little, so that a bucket at its edge is not asked in a loop.
      blockedUntil = now + max(retryAfter, 1_000_000)
      return .refuse(blockedUntil - now)
    }
    tokens += count - 1
    leasedAt = now
    return .admit
  }

  /// How many to take at a time: a tenth of a second's worth.
  static func batch(perSecond: Double) -> Int { max(1, min(10_000, Int(perSecond / 10))) }
}
