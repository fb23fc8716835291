/// Why bytes are not a message.
///
/// Thrown by readers only: writing cannot fail.
public struct WireError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong. Open: later versions may know more.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The bytes end inside a field.
    public static let truncated = Code(rawValue: 1)
    /// A varint longer than ten bytes.
    public static let malformedVarint = Code(rawValue: 2)
    /// A tag with field number 0, above 2²⁹ − 1, or with wire type 6 or 7.
    public static let invalidTag = Code(rawValue: 3)
    /// A group's end without its start, or the other way round.
    public static let unmatchedGroup = Code(rawValue: 4)
    /// A string that is not UTF-8.
    public static let invalidUTF8 = Code(rawValue: 5)
    /// Messages inside messages beyond ``WireLimits/depth``.
    public static let tooDeep = Code(rawValue: 6)
    /// More fields in all than ``WireLimits/fields``.
    public static let tooManyFields = Code(rawValue: 7)
  }

  public let code: Code

  /// How many bytes into the input the fault was noticed.
  public let offset: Int

  @usableFromInline
  init(_ code: Code, at offset: Int) {
    self.code = code
    self.offset = offset
  }

  public var description: String {
    let what =
      switch code {
      case .truncated: "the bytes end inside a field"
      case .malformedVarint: "a varint is longer than ten bytes"
      case .invalidTag: "a tag has an impossible field number or wire type"
      case .unmatchedGroup: "a group's start and end do not match"
      case .invalidUTF8: "a string is not UTF-8"
      case .tooDeep: "messages are nested too deeply"
      case .tooManyFields: "there are too many fields"
      default: "fault \(code.rawValue)"
      }
    return "\(what) (at byte \(offset))"
  }
}

/// How much a reader is willing to take, beside the size of the input, which its source bounds.
public struct WireLimits: Sendable, Equatable {
  /// Messages inside messages, groups included. 100, as in the official runtimes.
  public var depth: Int

  /// Fields in all, nested ones and map entries included: bounds the memory that tiny fields can claim (an empty nested
  /// message is two bytes on the wire and some hundred in memory).
  public var fields: Int

  public static let `default` = WireLimits(depth: 100, fields: 262_144)

  public init(depth: Int = 100, fields: Int = 262_144) {
    self.depth = depth
    self.fields = fields
  }
}
