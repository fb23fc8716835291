public import WireCodec

/// The value of the metadata `emailmcp-context-bin`.
public struct SignedCallContext: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.SignedCallContext"

  /// A serialized CallContext. The bytes are signed as they stand here; nobody serializes them again to check them.
  public var context: [UInt8] = []

  /// Which of the keys in EMAILMCP_CONTEXT_KEYS signed.
  public var keyID = ""

  /// HMAC-SHA-256 over `context` under that key: 32 bytes.
  public var signature: [UInt8] = []

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.bytes(1, context)
    w.string(2, keyID)
    w.bytes(3, signature)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.bytes(&context)
    case 2: try r.string(&keyID)
    case 3: try r.bytes(&signature)
    default: try r.skip()
    }
  }
}
