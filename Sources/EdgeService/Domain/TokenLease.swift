/// Request tokens that a replica has taken from a shared bucket ahead of need, one request that it let pass before it
/// asked, and the time until which there are none. The bucket in the database decides; this only saves trips to it.
///
/// The request on credit is what most senders are: the first in a while, whose bucket is full. It waits for no
/// transaction, and is paid for together with others' a moment later. There is at most one at a time, and until it is
/// paid for all others ask first: what replicas admit exceeds what the bucket granted by one request a loop, never more.
struct TokenLease: Sendable {
  /// A question to the bucket.
  struct Ask: Equatable {
    var want: Int
    /// The first token granted pays for the request that was admitted on credit.
    var pays: Bool
  }

  /// What to do for one request.
  enum Decision: Equatable {
    case admit
    /// Admit, and `settle` soon.
    case admitOnCredit
    case ask(Ask)
    /// Nanoseconds until it is worth asking again.
    case refuse(UInt64)
  }

  private enum Credit { case none, owed, asked }

  private var tokens = 0
  private var credit = Credit.none
  /// Questions that are not answered yet.
  private var asking = 0
  private var leasedAt: UInt64 = 0
  private var blockedUntil: UInt64 = 0
  private(set) var usedAt: UInt64 = 0

  /// Leased tokens that are not used within this time are given up, so that no replica sits on others' share.
  static let lifetime: UInt64 = 1_000_000_000

  mutating func decide(batch: Int, givesCredit: Bool, now: UInt64) -> Decision {
    usedAt = now
    if tokens > 0, now - leasedAt < Self.lifetime {
      tokens -= 1
      return .admit
    }
    tokens = 0
    if now < blockedUntil { return .refuse(blockedUntil - now) }
    if givesCredit, credit == .none {
      credit = .owed
      return .admitOnCredit
    }
    // Of many that come at once the first asks ahead, the rest for themselves: or they would empty the bucket for others.
    return .ask(ask(asking == 0 ? batch : 1))
  }

  /// What to ask the bucket for, so that it pays for the request on credit; nil where that has been asked.
  mutating func settle(batch: Int) -> Ask? {
    credit == .owed ? ask(batch - 1) : nil
  }

  private mutating func ask(_ want: Int) -> Ask {
    let pays = credit == .owed
    if pays { credit = .asked }
    asking += 1
    return Ask(want: pays ? want + 1 : want, pays: pays)
  }

  /// The bucket's answer; `claim` says what it means for the request that waits for it.
  mutating func granted(_ count: Int, to ask: Ask, retryAfter: UInt64, now: UInt64) {
    asking = max(0, asking - 1)  // the question may be older than this lease
    if ask.pays { credit = count > 0 ? .none : .owed }
    let left = max(0, ask.pays ? count - 1 : count)
    if left > 0 {
      tokens += left
      leasedAt = now
    } else if count < ask.want, tokens == 0 {
      // At least a little, so that a bucket at its edge is not asked in a loop.
      blockedUntil = now + max(retryAfter, 1_000_000)
    }
  }

  /// For a request that has asked: a token of this answer, or of another that came in between.
  mutating func claim(now: UInt64) -> Decision {
    guard tokens > 0 else { return .refuse(max(blockedUntil, now) - now) }
    tokens -= 1
    return .admit
  }

  /// No answer came.
  mutating func failed(_ ask: Ask) {
    asking = max(0, asking - 1)  // the question may be older than this lease
    if ask.pays { credit = .owed }
  }

  /// How many to take at a time: a tenth of a second's worth.
  static func batch(perSecond: Double) -> Int { max(1, min(10_000, Int(perSecond / 10))) }
}
