import CivilTime
import ServiceContracts

/// A bound of a range in a query: a date, or an RFC 3339 time.
enum DateParameter {
  static func parse(_ query: Query, _ name: String) throws(Problem) -> DateOrTime? {
    guard let text = query[name] else { return nil }
    var bound = DateOrTime()
    if let date = CivilDate(text) {
      bound.value = .date("\(date)")
    } else if let time = Timestamp(rfc3339: text) {
      bound.value = .time(ProtobufTimestamp(time))
    } else {
      throw .invalid(name, "must be a date such as 2026-11-22, or an RFC 3339 time")
    }
    return bound
  }
}
