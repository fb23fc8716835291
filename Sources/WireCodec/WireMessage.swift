/// A protobuf message, written by hand after its schema.
///
/// A conforming type is a struct with one stored property a field (one enum property a oneof), each with its default, and
/// two methods that name every field once:
///
/// ```swift
/// public struct Address: WireMessage, Equatable {
///   public static let wireName = "emailmcp.mailer.v1.Address"
///   public var email = ""
///   public var name = ""
///   public init() {}
///
///   public func encode(into w: inout WireWriter) {
///     w.string(1, email)
///     w.string(2, name)
///   }
///   public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
///     switch number {
///     case 1: try r.string(&email)
///     case 2: try r.string(&name)
///     default: try r.skip()
///     }
///   }
/// }
/// ```
///
/// Unknown fields, and known ones with another wire type than the schema's, are skipped.
public protocol WireMessage: Sendable {
  /// The message's full name in its schema.
  static var wireName: String { get }

  /// The message with all fields at their defaults.
  init()

  /// Writes the fields in the order of their numbers.
  func encode(into w: inout WireWriter)

  /// Reads the value of the field that the reader stands at, with exactly one call of one of its methods.
  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError)

  /// About how many bytes the message takes: worth giving for messages with large fields only, to which it saves moving
  /// and growing. Never needs to be right.
  var encodedSizeHint: Int { get }
}

extension WireMessage {
  @inlinable public var encodedSizeHint: Int { 0 }

  /// A message built by setting fields: `Address { $0.email = "a@example.com" }`.
  @inlinable
  public init<E: Error>(_ build: (inout Self) throws(E) -> Void) throws(E) {
    self.init()
    try build(&self)
  }

  /// Reads a whole message.
  @inlinable
  public init(wire bytes: UnsafeRawBufferPointer, limits: WireLimits = .default) throws(WireError) {
    self.init()
    var reader = WireReader(bytes, limits: limits)
    try merge(from: &reader)
  }

  /// Reads a whole message.
  @inlinable
  public init(wire bytes: [UInt8], limits: WireLimits = .default) throws(WireError) {
    self = try bytes.span.withUnsafeBytes { (raw) throws(WireError) in try Self(wire: raw, limits: limits) }
  }

  /// Reads a whole message.
  @inlinable
  public init(wire bytes: ArraySlice<UInt8>, limits: WireLimits = .default) throws(WireError) {
    self = try bytes.span.withUnsafeBytes { (raw) throws(WireError) in try Self(wire: raw, limits: limits) }
  }

  /// The message's bytes. The same message always gives the same bytes: maps are written in the order of their keys.
  @inlinable
  public func wireBytes() -> [UInt8] {
    // A small message is put together on the stack: then its array is all that is allocated.
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 16) { memory in
      var writer = WireWriter(lent: memory)
      writer.reserve(encodedSizeHint)
      encode(into: &writer)
      return writer.bytes
    }
  }

  /// The message's bytes behind their gRPC prefix, written where they stay as far as the hint suffices: for large messages,
  /// whose fresh memory costs more than what is written to it.
  public func frameBytes() -> [UInt8] {
    var outgrown: [UInt8]?
    let bytes = [UInt8](unsafeUninitializedCapacity: encodedSizeHint + 64) { memory, count in
      var writer = WireWriter(lent: UnsafeMutableRawBufferPointer(memory))
      writer.frame(self)
      if writer.isLent { count = writer.count } else { outgrown = writer.bytes }
    }
    return outgrown ?? bytes
  }

  /// Reads fields up to the reader's end over those that are there.
  @inlinable
  public mutating func merge(from r: inout WireReader) throws(WireError) {
    while let number = try r.nextField() { try decodeField(number, from: &r) }
  }
}

/// A protobuf enum: open, so that a value which a newer schema added survives.
///
/// ```swift
/// public struct AmbiguityPolicy: WireEnum {
///   public var rawValue: Int32
///   public init(rawValue: Int32) { self.rawValue = rawValue }
///   public static let unspecified = Self(rawValue: 0)
///   public static let hold = Self(rawValue: 1)
/// }
/// ```
public protocol WireEnum: RawRepresentable, Hashable, Sendable where RawValue == Int32 {
  init(rawValue: Int32)
}

extension WireEnum {
  /// The value 0, which every enum has and every field starts with.
  @inlinable public init() { self.init(rawValue: 0) }
}

/// Wire types of the protobuf encoding.
@usableFromInline
enum WireType: UInt8 {
  case varint = 0
  case fixed64 = 1
  case lengthDelimited = 2
  case startGroup = 3
  case endGroup = 4
  case fixed32 = 5
}
