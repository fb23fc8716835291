import CivilTime
import RPCRuntime
import ServiceContracts
import WireCodec

extension RequestedRange {
  /// - Throws: ``RangeProblem``.
  init(_ range: Reports.DateRange?) throws(RangeProblem) {
    try self.init(
      start: try Self.bound(range?.start, or: .badStart), end: try Self.bound(range?.end, or: .badEnd),
      zone: range?.timeZone ?? "")
  }

  private static func bound(_ value: DateOrTime?, or problem: RangeProblem) throws(RangeProblem) -> Bound? {
    switch value?.value {
    case nil: return nil
    case .date(let text):
      guard let date = CivilDate(text), 1...9999 ~= date.components.year else { throw problem }
      return .date(date)
    case .time(let message):
      guard let time = message.timestamp else { throw problem }
      return .time(time)
    }
  }
}

extension ReportRange {
  var message: Reports.DateRange {
    Reports.DateRange {
      $0.start = Self.message(start)
      $0.end = Self.message(end)
      $0.timeZone = zone
    }
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

extension RPCError {
  /// INVALID_ARGUMENT `invalid_request`, `range_too_large` or `invalid_time_zone`, each with the field at fault.
  init(_ problem: RangeProblem) {
    switch problem {
    case .badStart: self = Self.badBound("start_date")
    case .badEnd: self = Self.badBound("end_date")
    case .reversed: self = .invalidField("end_date", "must not lie before start_date")
    case .tooLarge:
      self.init(
        .invalidArgument, reason: "range_too_large", domain: ServiceError.domain,
        "The range is longer than \(ReportRange.maximumDays) days.",
        details: [
          BadRequest([
            .init(field: "start_date", description: "must be at most \(ReportRange.maximumDays) days before end_date")
          ])
        ])
    case .unknownZone:
      self.init(
        .invalidArgument, reason: "invalid_time_zone", domain: ServiceError.domain,
        "The time zone is not a name of the IANA database, such as Europe/Berlin.",
        details: [
          BadRequest([.init(field: "tz", description: "must be an IANA time zone name, such as Europe/Berlin")])
        ])
    }
  }

  private static func badBound(_ field: String) -> RPCError {
    .invalidField(field, "must be a day that exists, as YYYY-MM-DD, or an RFC 3339 time in the years 1 to 9999")
  }
}
