import CivilTime

/// After the database was away, lapsed leases are left for a moment to those who had them: where these live on they know
/// what became of their mail and tell it first, while whoever takes it over can only call it unknown, or send it again.
///
/// All times are the database's own, and it is the database that asks whether a lapsed lease may be taken, when a look has
/// reached it: a process that was stopped meanwhile, or a statement that was, asks too late.
struct HeadStart: Sendable, Equatable {
  /// One who tells may wait for a statement's time-out of 5 s when the database comes back, and then for a second and a bit
  /// (`RetryDelay.database`, and the pool's own).
  static let length: Duration = .seconds(7)

  /// The looks that were answered, the first and the last of them, since one was not. One that has just begun, or has not
  /// looked for as long as a head start, because it slept, does not know what was before.
  private var answered: ClosedRange<Timestamp>?

  /// The queue was looked at.
  /// - Parameter time: when; nil: it could not be.
  mutating func looked(at time: Timestamp?) {
    answered = time.map { time in
      guard let answered, answered.upperBound..<answered.upperBound + Self.length ~= time else { return time...time }
      return answered.lowerBound...time
    }
  }

  /// When the next look may take lapsed leases; nil: not at all.
  var whenOver: Range<Timestamp>? {
    answered.map { $0.lowerBound + Self.length..<$0.upperBound + Self.length }
  }
}
