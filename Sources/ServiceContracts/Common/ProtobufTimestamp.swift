package import CivilTime
public import WireCodec

/// `google.protobuf.Timestamp`: an instant of UTC.
public struct ProtobufTimestamp: WireMessage, Hashable {
  public static let wireName = "google.protobuf.Timestamp"

  /// Seconds since 1970-01-01T00:00:00Z.
  public var seconds: Int64 = 0

  /// Nanoseconds to add, 0–999,999,999.
  public var nanos: Int32 = 0

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.int64(1, seconds)
    w.int32(2, nanos)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.int64(&seconds)
    case 2: try r.int32(&nanos)
    default: try r.skip()
    }
  }
}

extension ProtobufTimestamp {
  package init(_ time: Timestamp) {
    seconds = time.seconds
    nanos = Int32(time.microseconds - seconds * 1_000_000) * 1_000
  }

  /// The instant, rounded down to the microsecond; nil outside the years 1 to 9999, which is all that the type may hold.
  package var timestamp: Timestamp? {
    let years = Timestamp.sayable
    guard years.lowerBound.seconds...years.upperBound.seconds ~= seconds, 0...999_999_999 ~= nanos else { return nil }
    return Timestamp(microseconds: seconds * 1_000_000 + Int64(nanos) / 1_000)
  }
}

extension Optional where Wrapped == ProtobufTimestamp {
  /// A message of the time, where there is one.
  package init(_ time: Timestamp?) { self = time.map { ProtobufTimestamp($0) } }
}
