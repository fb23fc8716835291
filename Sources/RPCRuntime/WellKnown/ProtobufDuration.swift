public import WireCodec

/// `google.protobuf.Duration`: seconds and nanoseconds of the same sign.
public struct ProtobufDuration: WireMessage, Hashable {
  public static let wireName = "google.protobuf.Duration"

  public var seconds: Int64 = 0
  public var nanos: Int32 = 0

  public init() {}

  public init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self.seconds = seconds
    nanos = Int32(attoseconds / 1_000_000_000)
  }

  /// Cut to what 64 bits of seconds hold: beyond them `Duration.components` stops the program, and a peer may send anything.
  public var duration: Duration {
    let (whole, part) = Int64(nanos).quotientAndRemainder(dividingBy: 1_000_000_000)
    let (sum, isOverflow) = seconds.addingReportingOverflow(whole)
    return .seconds(isOverflow ? (whole > 0 ? .max : .min) : sum) + .nanoseconds(part)
  }

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
