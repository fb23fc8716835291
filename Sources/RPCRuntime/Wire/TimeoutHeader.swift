import EventLoop

/// The value of `grpc-timeout`: one to eight digits and a unit of `H M S m u n`.
///
/// Spec: gRPC over HTTP/2, "Timeout".
enum TimeoutHeader {
  /// Nil for anything that the specification does not allow: no digits, nine digits, an unknown unit, a sign.
  static func parse(_ bytes: some BidirectionalCollection<UInt8>) -> Duration? {
    guard let unit = bytes.last, bytes.count >= 2, bytes.count <= 9 else { return nil }
    var value: Int64 = 0
    for byte in bytes.dropLast() {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + Int64(byte - UInt8(ascii: "0"))
    }
    switch unit {
    case UInt8(ascii: "H"): return .seconds(value * 3600)
    case UInt8(ascii: "M"): return .seconds(value * 60)
    case UInt8(ascii: "S"): return .seconds(value)
    case UInt8(ascii: "m"): return .milliseconds(value)
    case UInt8(ascii: "u"): return .microseconds(value)
    case UInt8(ascii: "n"): return .nanoseconds(value)
    default: return nil
    }
  }

  /// The finest unit whose number fits eight digits, rounded down: what is sent on is never more than what is left.
  /// Nothing left is one nanosecond, because zero digits and signs do not exist on the wire.
  static func format(_ timeout: Duration) -> [UInt8] {
    let nanoseconds = max(1, timeout.wholeNanoseconds)
    let units: [(Int64, Character)] = [
      (1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"), (3_600_000_000_000, "H"),
    ]
    for (size, unit) in units where nanoseconds / size <= 99_999_999 {
      return Array("\(nanoseconds / size)\(unit)".utf8)
    }
    return Array("99999999H".utf8)
  }
}
