/// After the database was away, lapsed leases are left for a moment to those who had them: where these live on they know
/// what became of their mail and tell it first, while whoever takes it over can only call it unknown, or send it again.
struct HeadStart: Sendable, Equatable {
  /// One who tells may wait for a statement's time-out of 5 s when the database comes back, and then for a second and a bit
  /// (`RetryDelay.database`, and the pool's own).
  static let length: Duration = .seconds(7)

  /// The looks that were answered, the first and the last of them, since one was not. One that has just begun, or has not
  /// looked for as long as a head start, because it slept, does not know what was before.
  private var answered: ClosedRange<Duration>?

  /// The queue was looked at, or could not be.
  mutating func looked(isAnswered: Bool, now: Duration) {
    answered = isAnswered ? (isKnown(now) ? answered!.lowerBound : now)...now : nil
  }

  /// Whether lapsed leases may be taken.
  func isOver(now: Duration) -> Bool { isKnown(now) && now >= answered!.lowerBound + Self.length }

  private func isKnown(_ now: Duration) -> Bool { answered.map { now - $0.upperBound < Self.length } ?? false }
}
