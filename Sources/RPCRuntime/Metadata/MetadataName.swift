import HTTP2Session

extension Metadata {
  /// A name of metadata: one or more of `0-9 a-z _ - .`, not reserved for the protocol.
  public struct Name: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    public let rawValue: String
    /// Whether its values are bytes: the name ends in `-bin`.
    public let isBinary: Bool

    /// Nil when the name has a character that is not allowed (capital letters are not), is empty or reserved.
    public init?(_ text: String) {
      guard !text.isEmpty, text.utf8.allSatisfy(Self.isAllowed) else { return nil }
      var text = text
      guard !text.withUTF8({ Self.isReserved(UnsafeRawBufferPointer($0)) }) else { return nil }
      rawValue = text
      isBinary = text.utf8.count > 4 && text.hasSuffix("-bin")
    }

    /// A name written in source. One that is not allowed stops the program.
    public init(stringLiteral text: String) {
      guard let name = Self(text) else { preconditionFailure("'\(text)' cannot be a name of metadata") }
      self = name
    }

    public var description: String { rawValue }

    static func isAllowed(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
      default: false
      }
    }

    static func isText(_ value: String) -> Bool { value.utf8.allSatisfy { $0 >= 0x20 && $0 <= 0x7e } }

    /// What the protocol keeps for itself.
    static func isReserved(_ name: UnsafeRawBufferPointer) -> Bool {
      guard let first = name.first else { return true }
      switch first {
      case UInt8(ascii: ":"): return true
      case UInt8(ascii: "g"): return name.count >= 5 && UnsafeRawBufferPointer(rebasing: name[..<5]).equals("grpc-")
      case UInt8(ascii: "c"):
        return name.equals("content-type") || name.equals("content-length") || name.equals("connection")
      case UInt8(ascii: "t"): return name.equals("te") || name.equals("transfer-encoding")
      case UInt8(ascii: "u"): return name.equals("user-agent")
      case UInt8(ascii: "h"): return name.equals("host")
      default: return false
      }
    }
  }
}
