import CivilTime
import Testing

@Suite("Civil time")
struct CivilTimeTests {
  @Test("Days and calendar dates convert both ways over eight hundred years")
  func roundTrip() throws {
    var previous = CivilDate(daysSinceEpoch: -146_098)
    for days in -146_097...146_097 {
      let date = CivilDate(daysSinceEpoch: days)
      let (year, month, day) = date.components
      try #require(CivilDate(year: year, month: month, day: day) == date)
      let before = previous.components
      try #require(
        day == before.day + 1 || (day == 1 && (month == before.month + 1 || (month == 1 && year == before.year + 1))))
      previous = date
    }
  }

  @Test(
    "Reads a date and refuses days that do not exist",
    arguments: [
      ("1970-01-01", 0), ("2026-11-22", 20_779), ("2000-02-29", 11_016), ("1900-02-29", nil), ("2026-13-01", nil),
      ("2026-1-01", nil), ("2026-11-22 ", nil),
    ])
  func dates(text: String, days: Int?) {
    #expect(CivilDate(text)?.daysSinceEpoch == days)
    if days != nil { #expect(CivilDate(text)?.description == text) }
  }

  @Test(
    "Reads RFC 3339 and writes it in UTC",
    arguments: [
      ("2026-11-22T10:39:00.123Z", "2026-11-22T10:39:00.123Z"), ("2026-11-22T10:39:00Z", "2026-11-22T10:39:00.000Z"),
      ("2026-11-22t10:39:00.1239999z", "2026-11-22T10:39:00.123Z"),
      ("2026-11-22T00:30:00+01:00", "2026-11-21T23:30:00.000Z"),
      ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
      ("2026-11-22T10:39:00-05:30", "2026-11-22T16:09:00.000Z"),
      ("2026-11-22", nil), ("2026-11-22T10:39Z", nil), ("2026-11-22T10:39:60Z", nil), ("2026-11-22T24:00:00Z", nil),
      ("2026-11-22T10:39:00", nil), ("2026-11-22T10:39:00.Z", nil), ("2026-11-22T10:39:00+0100", nil),
      ("2026-11-22 10:39:00Z", nil),
    ])
  func rfc3339(text: String, expected: String?) {
    #expect(Timestamp(rfc3339: text)?.description == expected)
  }

  @Test("Writes the dates of HTTP, mail and AWS signatures, and reads HTTP's")
  func otherForms() {
    let time = Timestamp(rfc3339: "2026-11-22T10:39:05Z")!
    #expect(time.httpDate == "Sun, 22 Nov 2026 10:39:05 GMT")
    #expect(time.mailDate == "Sun, 22 Nov 2026 10:39:05 +0000")
    #expect(time.basicISO8601 == "20261122T103905Z")
    #expect(Timestamp(httpDate: time.httpDate) == time)
    #expect(Timestamp(httpDate: "Sunday, 22-Nov-26 10:39:05 GMT") == nil)
  }

  @Test("Adds and subtracts durations")
  func arithmetic() {
    let time = Timestamp(seconds: 10)
    #expect((time + .milliseconds(1_500)).milliseconds == 11_500)
    #expect(time - (time - .seconds(3)) == .seconds(3))
  }
}
