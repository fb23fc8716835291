import Glibc

/// An instant of UTC in microseconds, the resolution that Postgres keeps.
package struct Timestamp: Sendable, Hashable, Comparable {
  /// Microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
  package let microseconds: Int64

  package init(microseconds: Int64) { self.microseconds = microseconds }
  package init(milliseconds: Int64) { microseconds = milliseconds * 1_000 }
  package init(seconds: Int64) { microseconds = seconds * 1_000_000 }

  /// The years 1 to 9999: all that RFC 3339 and `google.protobuf.Timestamp` can say, and well within what Postgres keeps.
  package static let sayable =
    Timestamp(seconds: -62_135_596_800)...Timestamp(microseconds: 253_402_300_799_999_999)

  /// The system's clock. Only for what is stored or shown: durations are measured on the loop's monotonic clock.
  package static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
  }

  /// Rounded down.
  package var milliseconds: Int64 { floorDivided(microseconds, 1_000) }
  /// Rounded down.
  package var seconds: Int64 { floorDivided(microseconds, 1_000_000) }

  /// The day in UTC.
  package var date: CivilDate { CivilDate(daysSinceEpoch: Int(floorDivided(microseconds, 86_400_000_000))) }

  /// The first instant of a day in UTC.
  package init(startOf date: CivilDate) { microseconds = Int64(date.daysSinceEpoch) * 86_400_000_000 }

  package static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

  package static func + (left: Timestamp, right: Duration) -> Timestamp {
    Timestamp(microseconds: left.microseconds + right.microseconds)
  }

  package static func - (left: Timestamp, right: Duration) -> Timestamp {
    Timestamp(microseconds: left.microseconds - right.microseconds)
  }

  package static func - (left: Timestamp, right: Timestamp) -> Duration {
    .microseconds(left.microseconds - right.microseconds)
  }
}

extension Duration {
  fileprivate var microseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
}

private func floorDivided(_ value: Int64, _ divisor: Int64) -> Int64 {
  let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
  return remainder < 0 ? quotient - 1 : quotient
}

// MARK: RFC 3339

extension Timestamp: CustomStringConvertible {
  /// RFC 3339 in UTC with milliseconds: `2026-11-22T10:39:00.123Z`.
  package var description: String { rfc3339(fractionDigits: 3) }

  /// RFC 3339 in UTC with 0 to 6 digits of the second's fraction, rounded down.
  package func rfc3339(fractionDigits: Int = 3) -> String {
    let micro = Int(microseconds - Int64(date.daysSinceEpoch) * 86_400_000_000)
    let second = micro / 1_000_000
    var text = "\(date)T\(padded(second / 3_600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    if fractionDigits > 0 { text += "." + padded(micro % 1_000_000, 6).prefix(fractionDigits) }
    return text + "Z"
  }

  /// Reads RFC 3339: any offset, a fraction of any length (digits past the microsecond are dropped), `t` and `z` too.
  ///
  /// A leap second (`:60`) is refused: it has no place among UTC microseconds.
  package init?(rfc3339 text: some StringProtocol) {
    var reader = DigitReader(text.utf8)
    guard let year = reader.number(4), reader.skip("-"), let month = reader.number(2), reader.skip("-"),
      let day = reader.number(2), let date = CivilDate(year: year, month: month, day: day), reader.skip(anyOf: "Tt"),
      let hour = reader.number(2), hour < 24, reader.skip(":"), let minute = reader.number(2), minute < 60,
      reader.skip(":"), let second = reader.number(2), second < 60, let fraction = reader.fraction(),
      let offset = reader.offset(), reader.isAtEnd
    else { return nil }
    let seconds = date.daysSinceEpoch * 86_400 + hour * 3_600 + minute * 60 + second - offset
    self.init(microseconds: Int64(seconds) * 1_000_000 + Int64(fraction))
  }
}

extension DigitReader {
  /// Microseconds; zero without a fraction, nil when the point has no digit behind it.
  fileprivate mutating func fraction() -> Int? {
    guard skip(".") else { return 0 }
    var value = 0
    var digits = 0
    while let digit = number(1) {
      if digits < 6 { value = value * 10 + digit }
      digits += 1
    }
    guard digits > 0 else { return nil }
    for _ in min(digits, 6)..<6 { value *= 10 }
    return value
  }

  /// Seconds east of UTC.
  fileprivate mutating func offset() -> Int? {
    if skip(anyOf: "Zz") { return 0 }
    let sign = next == UInt8(ascii: "-") ? -1 : 1
    guard skip(anyOf: "+-"), let hour = number(2), hour < 24, skip(":"), let minute = number(2), minute < 60 else {
      return nil
    }
    return sign * (hour * 3_600 + minute * 60)
  }
}

// MARK: Other spellings

extension Timestamp {
  /// `Sun, 22 Nov 2026 10:39:00 GMT`, the form of HTTP's Date header (RFC 9110 section 5.6.7).
  package var httpDate: String { "\(dayAndTime) GMT" }

  /// `Sun, 22 Nov 2026 10:39:00 +0000`, the form of a mail's Date header (RFC 5322 section 3.3).
  package var mailDate: String { "\(dayAndTime) +0000" }

  /// `20261122T103900Z`, ISO 8601's basic form, which AWS signatures use.
  package var basicISO8601: String {
    String(rfc3339(fractionDigits: 0).unicodeScalars.filter { $0 != "-" && $0 != ":" })
  }

  private var dayAndTime: String {
    let (year, month, day) = date.components
    let second = Int(seconds - Int64(date.daysSinceEpoch) * 86_400)
    let time = "\(padded(second / 3_600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    return "\(weekdays[date.weekday]), \(padded(day, 2)) \(months[month - 1]) \(padded(year, 4)) \(time)"
  }

  /// Reads HTTP's preferred form, `Sun, 22 Nov 2026 10:39:00 GMT`; the obsolete forms are refused.
  package init?(httpDate text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 6, parts[5] == "GMT", parts[1].utf8.count == 2, parts[4].utf8.count == 8,
      weekdays.contains(where: { parts[0] == $0 + "," }), let month = months.firstIndex(where: { parts[2] == $0 })
    else { return nil }
    self.init(rfc3339: "\(parts[3])-\(padded(month + 1, 2))-\(parts[1])T\(parts[4])Z")
  }

  /// Reads HTTP's Retry-After: seconds, which count to a year, or a date (RFC 9110 section 10.2.3).
  package init?(retryAfter text: String, now: Timestamp) {
    if let seconds = Int64(text) {
      guard seconds >= 0 else { return nil }
      self = now + .seconds(min(seconds, 366 * 86_400))
    } else {
      self.init(httpDate: text)
    }
  }
}

private let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
