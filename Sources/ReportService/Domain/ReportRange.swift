import CivilTime

/// A range whose bounds are instants.
struct ReportRange: Hashable, Sendable {
  /// The longest one, in days of its zone.
  static let maximumDays = 400

  /// The days of a report without bounds, today included.
  static let defaultDays = 30

  /// As it was asked; dates where it was left open.
  let start: RequestedRange.Bound
  let end: RequestedRange.Bound
  let zone: String

  let interval: InstantRange

  /// The zone's days that the interval touches; nil when it is empty.
  let days: ClosedRange<CivilDate>?

  /// The zone's day that it is now.
  let today: InstantRange

  /// The time of the snapshot.
  let asOf: Timestamp

  /// Each day, in order.
  var allDays: [CivilDate] {
    guard let days else { return [] }
    return (days.lowerBound.daysSinceEpoch...days.upperBound.daysSinceEpoch).map { CivilDate(daysSinceEpoch: $0) }
  }
}
