import CivilTime
import RPCRuntime
import ServiceContracts

/// The range of a request, checked as far as that goes without knowing any zone.
struct RequestedRange: Hashable, Sendable {
  enum Bound: Hashable, Sendable {
    case date(CivilDate)
    case time(Timestamp)
  }

  var start: Bound?
  var end: Bound?
  /// Looks like the name of a zone; whether it is one, the database knows.
  var zone: String

  /// - Throws: INVALID_ARGUMENT `invalid_request`, `invalid_time_zone`.
  init(_ range: Reports.DateRange?) throws(RPCError) {
    start = try Self.bound(range?.start, "start_date")
    end = try Self.bound(range?.end, "end_date")
    zone = range?.timeZone ?? ""
    if zone.isEmpty { zone = "UTC" }
    guard Self.looksLikeZone(zone) else { throw Self.unknownZone }
  }

  static let unknownZone = RPCError(
    .invalidArgument, reason: "invalid_time_zone", domain: ServiceError.domain,
    "The time zone is not a name of the IANA database, such as Europe/Berlin.",
    details: [BadRequest([.init(field: "tz", description: "must be an IANA time zone name, such as Europe/Berlin")])])

  private static func bound(_ value: DateOrTime?, _ field: String) throws(RPCError) -> Bound? {
    switch value?.value {
    case nil: return nil
    case .date(let text):
      guard let date = CivilDate(text), 1...9999 ~= date.components.year else {
        throw .invalidField(field, "must be a day that exists, as YYYY-MM-DD, or an RFC 3339 time")
      }
      return .date(date)
    case .time(let message):
      guard let time = message.timestamp else { throw .invalidField(field, "must lie in the years 1 to 9999") }
      return .time(time)
    }
  }

  /// The characters of IANA's names (theory.html, "Timezone identifiers"), in parts divided by `/`.
  private static func looksLikeZone(_ name: String) -> Bool {
    name.utf8.count <= 64
      && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
        guard let first = part.utf8.first, isLetter(first) else { return false }
        return part.utf8.allSatisfy { byte in
          isLetter(byte) || 0x30...0x39 ~= byte || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "+")
        }
      }
  }

  private static func isLetter(_ byte: UInt8) -> Bool { 0x61...0x7a ~= byte | 0x20 }
}

/// A range whose bounds are instants.
struct ReportRange: Hashable, Sendable {
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

  var message: Reports.DateRange {
    var message = Reports.DateRange()
    message.start = Self.message(start)
    message.end = Self.message(end)
    message.timeZone = zone
    return message
  }

  private static func message(_ bound: RequestedRange.Bound) -> DateOrTime {
    var message = DateOrTime()
    switch bound {
    case .date(let date): message.value = .date(date.description)
    case .time(let time): message.value = .time(ProtobufTimestamp(time))
    }
    return message
  }
}
