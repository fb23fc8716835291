public import WireCodec

/// A typed detail of an error: a packed message, `google.protobuf.Any` on the wire.
public struct ErrorDetail: WireMessage, Hashable {
  public static let wireName = "google.protobuf.Any"

  /// `type.googleapis.com/` and the message's full name.
  public var typeURL = ""
  /// The message's bytes.
  public var value: [UInt8] = []

  public init() {}

  /// Packs a message.
  public init(_ message: some WireMessage) {
    typeURL = "type.googleapis.com/\(type(of: message).wireName)"
    value = message.wireBytes()
  }

  /// The message, when it is of this type and can be read.
  public func unpack<Message: WireMessage>(_: Message.Type) -> Message? {
    guard typeURL.utf8.reversed().starts(with: "/\(Message.wireName)".utf8.reversed()) else { return nil }
    return try? Message(wire: value)
  }

  public func encode(into w: inout WireWriter) {
    w.string(1, typeURL)
    w.bytes(2, value)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&typeURL)
    case 2: try r.bytes(&value)
    default: try r.skip()
    }
  }
}
