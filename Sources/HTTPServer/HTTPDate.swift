import CivilTime

/// The Date field's value (RFC 9110 section 5.6.7), made once a second.
struct HTTPDate {
  private var second: Int64 = -1
  private(set) var text = ""

  mutating func current() -> String {
    let now = Timestamp.now()
    if now.seconds != second {
      second = now.seconds
      text = now.httpDate
    }
    return text
  }
}
