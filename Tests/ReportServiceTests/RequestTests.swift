import CivilTime
import RPCRuntime
import ServiceContracts
import Testing
import WireCodec

@testable import ReportService

private func time(_ text: String) -> Timestamp { Timestamp(rfc3339: text)! }

@Test(
  "an interval is split into whole steps and its ends",
  arguments: [
    ("10:00:00Z", "11:00:00Z", "10:00:00Z", "11:00:00Z"),
    ("10:00:01Z", "11:00:00Z", "10:15:00Z", "11:00:00Z"),
    ("10:14:59.999999Z", "10:45:00.000001Z", "10:15:00Z", "10:45:00Z"),
    ("10:15:00Z", "10:30:00Z", "10:15:00Z", "10:30:00Z"),
  ])
func splitting(_ start: String, _ end: String, _ low: String, _ high: String) {
  let range = InstantRange(time("2026-03-29T" + start), time("2026-03-29T" + end))
  let split = range.split(by: InstantRange.quarterHour)
  let whole = InstantRange(time("2026-03-29T" + low), time("2026-03-29T" + high))
  #expect(split.whole == whole)
  #expect(split.head == InstantRange(range.start, whole.start))
  #expect(split.tail == InstantRange(whole.end, range.end))
}

@Test("an interval without a whole step is its own head", arguments: ["10:14:00Z", "10:20:00Z", "10:29:59Z"])
func noWholeStep(_ end: String) {
  let range = InstantRange(time("2026-03-29T10:01:00Z"), time("2026-03-29T" + end))
  let split = range.split(by: InstantRange.quarterHour)
  #expect(split.head == range)
  #expect(split.whole.isEmpty)
  #expect(split.tail.isEmpty)
}

@Test("the steps that an interval touches")
func touchedSteps() {
  let range = InstantRange(time("2026-03-29T10:01:00Z"), time("2026-03-29T10:15:00.000001Z"))
  #expect(range.steps(of: InstantRange.quarterHour) == [time("2026-03-29T10:00:00Z"), time("2026-03-29T10:15:00Z")])
  let exact = InstantRange(time("2026-03-29T10:00:00Z"), time("2026-03-29T10:15:00Z"))
  #expect(exact.steps(of: InstantRange.quarterHour) == [exact.start])
  #expect(InstantRange(exact.start, exact.start).steps(of: InstantRange.quarterHour).isEmpty)
}

@Test("steps before the epoch are found downwards too")
func beforeEpoch() {
  let range = InstantRange(time("1969-12-31T23:50:00Z"), time("1970-01-01T00:20:00Z"))
  #expect(
    range.split(by: InstantRange.quarterHour).whole
      == InstantRange(time("1970-01-01T00:00:00Z"), time("1970-01-01T00:15:00Z")))
}

private func range(
  start: DateOrTime.Value? = nil, end: DateOrTime.Value? = nil, zone: String = ""
) -> Reports.DateRange {
  Reports.DateRange {
    $0.start = start.map { value in DateOrTime { $0.value = value } }
    $0.end = end.map { value in DateOrTime { $0.value = value } }
    $0.timeZone = zone
  }
}

@Test("an absent range is open at both ends, in UTC")
func absentRange() throws {
  let requested = try RequestedRange(nil)
  #expect(requested.start == nil)
  #expect(requested.end == nil)
  #expect(requested.zone == "UTC")
}

@Test(
  "a bound that is no day and no time is refused by its field",
  arguments: ["2026-02-30", "2026-1-1", "", "yesterday", "0000-01-01", "2026-01-01T00:00:00Z"])
func badDates(_ text: String) {
  #expect(throws: RangeProblem.badEnd) { try RequestedRange(range(end: .date(text))) }
}

@Test(
  "a time outside the years 1 to 9999 is refused",
  arguments: [(Int64.max, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000)] as [(Int64, Int32)])
func badTimes(_ seconds: Int64, _ nanos: Int32) {
  let value = ProtobufTimestamp {
    $0.seconds = seconds
    $0.nanos = nanos
  }
  #expect(throws: RangeProblem.badStart) { try RequestedRange(range(start: .time(value))) }
}

@Test(
  "what cannot be a zone's name is refused before the database hears of it",
  arguments: [
    "+3", "<+03>-3", "Europe/", "/Berlin", "Europe//Berlin", "Europe/Berlin; DROP", "Ünterzone", ":UTC",
    String(repeating: "a", count: 65),
  ])
func badZones(_ zone: String) {
  #expect(throws: RangeProblem.unknownZone) { try RequestedRange(range(zone: zone)) }
}

@Test(
  "each problem of a range names its reason and its field",
  arguments: [
    (.badStart, "invalid_request", "start_date"), (.badEnd, "invalid_request", "end_date"),
    (.reversed, "invalid_request", "end_date"), (.tooLarge, "range_too_large", "start_date"),
    (.unknownZone, "invalid_time_zone", "tz"),
  ] as [(RangeProblem, String, String)])
func problems(_ problem: RangeProblem, _ reason: String, _ field: String) {
  let error = RPCError(problem)
  #expect(error.code == .invalidArgument)
  #expect(error.errorInfo?.reason == reason)
  #expect(error.badRequest?.fieldViolations.map(\.field) == [field])
}
