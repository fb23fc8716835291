/// After the database was away, lapsed leases are left for a moment to those who had them: where these live on they know
/// what became of their mail and tell it first, while whoever takes it over can only call it unknown, or send it again.
struct HeadStart: Sendable, Equatable {
  /// One who tells may wait for a statement's time-out of 5 s when the database comes back, and then for a second and a bit
  /// (`RetryDelay.database`, and the pool's own).
  static let length: Duration = .seconds(7)

  private enum State: Sendable, Equatable {
    case over, away
    case running(until: Duration)
  }

  /// One that has just begun does not know what was before.
  private var state: State = .away

  /// The queue was looked at, or could not be.
  mutating func looked(isAnswered: Bool, now: Duration) {
    if !isAnswered {
      state = .away
    } else if state == .away {
      state = .running(until: now + Self.length)
    }
  }

  /// Whether lapsed leases may be taken.
  func isOver(now: Duration) -> Bool {
    switch state {
    case .over: true
    case .away: false
    case .running(let until): now >= until
    }
  }
}
