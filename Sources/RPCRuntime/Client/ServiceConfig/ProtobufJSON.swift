import StrictJSON

/// `google.protobuf.Duration` in JSON: seconds with up to nine decimal places and an `s`.
///
/// Spec: https://protobuf.dev/programming-guides/json/
enum JSONDuration {
  /// protobuf's own bound: ten thousand years.
  private static let maximumSeconds: Int64 = 315_576_000_000

  static func notNegative(_ value: JSONValue) throws(JSONFieldProblem) -> Duration {
    guard let text = value.stringValue, let duration = parse(text) else {
      throw JSONFieldProblem("must be a duration such as \"1.5s\"")
    }
    return duration
  }

  static func positive(_ value: JSONValue) throws(JSONFieldProblem) -> Duration {
    let duration = try notNegative(value)
    guard duration > .zero else { throw JSONFieldProblem("must be greater than 0") }
    return duration
  }

  private static func parse(_ text: String) -> Duration? {
    guard text.last == "s" else { return nil }
    let parts = text.dropLast().split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    guard let whole = parts.first, let seconds = number(whole), seconds <= maximumSeconds else { return nil }
    guard parts.count == 2 else { return .seconds(seconds) }
    guard parts[1].utf8.count <= 9, let fraction = number(parts[1]) else { return nil }
    var nanoseconds = fraction
    for _ in parts[1].utf8.count..<9 { nanoseconds *= 10 }
    return .seconds(seconds) + .nanoseconds(nanoseconds)
  }

  private static func number(_ digits: Substring) -> Int64? {
    guard !digits.isEmpty, digits.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
    return Int64(digits)
  }
}

/// `google.protobuf.UInt32Value` in JSON: a number, or its digits as a string.
enum JSONUInt32 {
  static func read(_ value: JSONValue) throws(JSONFieldProblem) -> Int {
    try read(value, in: 0...UInt32.max)
  }

  /// Attempts of a call, the first included. More than five count as five.
  static func attempts(_ value: JSONValue) throws(JSONFieldProblem) -> Int { try read(value, in: 2...UInt32.max) }

  static func percent(_ value: JSONValue) throws(JSONFieldProblem) -> Int { try read(value, in: 0...100) }

  private static func read(_ value: JSONValue, in range: ClosedRange<UInt32>) throws(JSONFieldProblem) -> Int {
    let number = value.stringValue.map { Int64($0) } ?? value.int64Value
    guard let number, let small = UInt32(exactly: number), range.contains(small) else {
      throw JSONFieldProblem("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return Int(small)
  }
}
