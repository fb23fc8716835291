/// A protobuf `map<string, string>`.
///
/// Keys are told apart byte by byte, as the wire does; Swift's dictionaries would take two Unicode spellings of a key for
/// one. Iterates in the order of the keys' bytes.
public struct WireMap: Sendable, Hashable, ExpressibleByDictionaryLiteral, CustomStringConvertible {
  /// A string told from others by its bytes.
  private struct ByteString: Hashable, Sendable {
    var string: String

    init(_ string: String) { self.string = string }

    static func == (a: ByteString, b: ByteString) -> Bool { a.string.utf8.elementsEqual(b.string.utf8) }

    func hash(into hasher: inout Hasher) {
      string.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
  }

  private var storage: [ByteString: String]

  public init() { storage = [:] }

  /// A map of these pairs; of several with one key the last wins.
  public init(dictionaryLiteral elements: (String, String)...) { self.init(elements) }

  /// A map of these pairs; of several with one key the last wins.
  public init(_ pairs: some Sequence<(String, String)>) {
    storage = [:]
    for (key, value) in pairs { storage[ByteString(key)] = value }
  }

  public var count: Int { storage.count }

  public var isEmpty: Bool { storage.isEmpty }

  public subscript(key: String) -> String? {
    get { storage[ByteString(key)] }
    set { storage[ByteString(key)] = newValue }
  }

  /// The pairs in the order of their keys' bytes.
  public var pairs: [(key: String, value: String)] {
    storage.sorted { $0.key.string.utf8.lexicographicallyPrecedes($1.key.string.utf8) }
      .map { (key: $0.key.string, value: $0.value) }
  }

  public var description: String { "[\(pairs.map { "\($0.key): \($0.value)" }.joined(separator: ", "))]" }
}
