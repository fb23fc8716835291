public import WireCodec

/// A bound of a range of time, as people write it.
public struct DateOrTime: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.DateOrTime"

  /// Exactly one of the two.
  public enum Value: Sendable, Hashable {
    /// A calendar day, `YYYY-MM-DD`, in the time zone of the request. As an end it includes that whole day.
    case date(String)
    /// An instant. As a start it is included, as an end it is not.
    case time(ProtobufTimestamp)
  }

  /// Exactly one of the two.
  public var value: Value?

  public init() {}

  public func encode(into w: inout WireWriter) {
    switch value {
    case .date(let value): w.string(1, Optional(value))
    case .time(let value): w.message(2, value)
    case nil: break
    }
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: if let new = try r.string() { value = .date(new) }
    case 2:
      var old: ProtobufTimestamp?
      if case .time(let value) = value { old = value }
      if let new = try r.message(over: old) { value = .time(new) }
    default: try r.skip()
    }
  }
}
