/// The names and values that travel beside the messages of a call: in the order given, a name any number of times.
///
/// A name that ends in `-bin` has bytes, any other one printable ASCII. What is the protocol's own (`grpc-…`,
/// `content-type`, `te`, `user-agent`, pseudo-headers) can be neither set nor seen here.
public struct Metadata: Sendable, Hashable {
  /// A name with one of its values.
  public struct Entry: Sendable, Hashable {
    public let name: Name
    public let value: Value
  }

  /// What a name carries.
  public enum Value: Sendable, Hashable, ExpressibleByStringLiteral {
    /// Printable ASCII, space to `~`.
    case text(String)
    /// Any bytes; base64 on the wire. Only under a name that ends in `-bin`.
    case binary([UInt8])

    public init(stringLiteral text: String) { self = .text(text) }
  }

  /// The largest sum of name, value and 32 bytes an entry that a peer accepts by default, in bytes.
  public static let defaultLimit = 16 * 1024

  public private(set) var entries: [Entry] = []

  public init() {}

  public var isEmpty: Bool { entries.isEmpty }

  /// The size as HTTP/2 counts it: encoded name and value and 32 bytes for each entry (RFC 9113, 6.5.2).
  public var encodedSize: Int {
    var size = 0
    for entry in entries {
      size += entry.name.rawValue.utf8.count + 32
      switch entry.value {
      case .text(let text): size += text.utf8.count
      case .binary(let bytes): size += HeaderBase64.encodedCount(bytes.count)
      }
    }
    return size
  }

  /// Adds a text value.
  ///
  /// - Throws: `MetadataError` for a `-bin` name, or for a value with anything but printable ASCII.
  public mutating func append(_ name: Name, _ value: String) throws(MetadataError) {
    guard !name.isBinary else { throw .notText(name) }
    guard Name.isText(value) else { throw .unprintable(name) }
    entries.append(Entry(name: name, value: .text(value)))
  }

  /// Adds a binary value under a name that ends in `-bin`.
  ///
  /// - Throws: `MetadataError` for any other name.
  public mutating func append(_ name: Name, binary value: [UInt8]) throws(MetadataError) {
    guard name.isBinary else { throw .notBinary(name) }
    entries.append(Entry(name: name, value: .binary(value)))
  }

  mutating func append(_ entry: Entry) { entries.append(entry) }

  /// Adds all entries of `other`.
  public mutating func append(contentsOf other: Metadata) { entries += other.entries }

  /// Removes every value of `name`.
  public mutating func remove(_ name: Name) { entries.removeAll { $0.name == name } }

  /// The first text value of `name`.
  public func text(_ name: Name) -> String? {
    for entry in entries where entry.name == name {
      if case .text(let text) = entry.value { return text }
    }
    return nil
  }

  /// The first binary value of `name`.
  public func binary(_ name: Name) -> [UInt8]? {
    for entry in entries where entry.name == name {
      if case .binary(let bytes) = entry.value { return bytes }
    }
    return nil
  }

  /// Every value of `name`, in order.
  public func values(_ name: Name) -> [Value] { entries.filter { $0.name == name }.map(\.value) }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  /// Written in source: `["x-kind": "a", "key-bin": .binary(key)]`. A value that its name cannot carry stops the program;
  /// use `append` for values from outside.
  public init(dictionaryLiteral elements: (Name, Value)...) {
    for (name, value) in elements {
      do {
        switch value {
        case .text(let text): try append(name, text)
        case .binary(let bytes): try append(name, binary: bytes)
        }
      } catch {
        preconditionFailure("\(error)")
      }
    }
  }
}

extension Metadata: CustomStringConvertible {
  /// Names only: values may be credentials.
  public var description: String { "[\(entries.map(\.name.rawValue).joined(separator: ", "))]" }
}

extension Metadata {
  /// Adds what came over the wire: reserved names are left out, a `-bin` value may be several, comma-joined.
  ///
  /// - Returns: false when the name or the value is not allowed by the specification.
  mutating func appendReceived(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> Bool {
    guard !Name.isReserved(name) else { return true }
    guard let parsed = Name(String(decoding: name, as: UTF8.self)) else { return false }
    guard parsed.isBinary else {
      guard value.allSatisfy({ $0 >= 0x20 && $0 <= 0x7e }) else { return false }
      entries.append(Entry(name: parsed, value: .text(String(decoding: value, as: UTF8.self))))
      return true
    }
    for part in value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      guard let bytes = HeaderBase64.decode(part.trimmingSpaces()) else { return false }
      entries.append(Entry(name: parsed, value: .binary(bytes)))
    }
    return true
  }
}

extension BidirectionalCollection<UInt8> {
  func trimmingSpaces() -> SubSequence {
    var trimmed = self[...]
    while trimmed.first == 0x20 { trimmed.removeFirst() }
    while trimmed.last == 0x20 { trimmed.removeLast() }
    return trimmed
  }
}

/// Why a name and value cannot be metadata.
public enum MetadataError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A text value under a name that ends in `-bin`.
  case notText(Metadata.Name)
  /// Bytes under a name that does not end in `-bin`.
  case notBinary(Metadata.Name)
  /// A text value with anything but printable ASCII.
  case unprintable(Metadata.Name)

  public var description: String {
    switch self {
    case .notText(let name): "metadata '\(name)' carries bytes, not text"
    case .notBinary(let name): "metadata '\(name)' carries text; bytes need a name that ends in -bin"
    case .unprintable(let name): "metadata '\(name)' has a character that is not printable ASCII"
    }
  }
}
