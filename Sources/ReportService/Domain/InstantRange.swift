import CivilTime

/// Instants from `start` on, up to and without `end`. Empty when they are equal.
struct InstantRange: Hashable, Sendable {
  let start: Timestamp
  let end: Timestamp

  /// - Precondition: `start` is not after `end`.
  init(_ start: Timestamp, _ end: Timestamp) {
    precondition(start <= end)
    self.start = start
    self.end = end
  }

  var isEmpty: Bool { start == end }

  /// 15 minutes, the buckets of `email_stats_15m`: every zone's days begin on this grid.
  static let quarterHour = Duration.seconds(900)
  /// The days of `email_recipients_day`.
  static let day = Duration.seconds(86_400)

  /// The part that consists of whole steps of a grid from the epoch on, and the ends that do not.
  ///
  /// Where the interval holds no whole step, all of it is `head`.
  func split(by step: Duration) -> Split {
    let size = step.components.seconds * 1_000_000
    let first = -Self.floor(-start.microseconds, size)
    let last = Self.floor(end.microseconds, size)
    guard first < last else {
      return Split(head: self, whole: InstantRange(end, end), tail: InstantRange(end, end))
    }
    let (low, high) = (Timestamp(microseconds: first), Timestamp(microseconds: last))
    return Split(head: InstantRange(start, low), whole: InstantRange(low, high), tail: InstantRange(high, end))
  }

  /// The beginnings of the grid's steps that it touches, of which there should be few.
  func steps(of step: Duration) -> [Timestamp] {
    let size = step.components.seconds * 1_000_000
    return stride(from: Self.floor(start.microseconds, size), to: end.microseconds, by: Int(size)).map {
      Timestamp(microseconds: $0)
    }
  }

  struct Split: Hashable, Sendable {
    let head: InstantRange
    let whole: InstantRange
    let tail: InstantRange

    /// Whether the whole steps are all there is.
    var isExact: Bool { head.isEmpty && tail.isEmpty }
  }

  private static func floor(_ value: Int64, _ step: Int64) -> Int64 {
    let rest = value % step
    return value - (rest < 0 ? rest + step : rest)
  }
}
