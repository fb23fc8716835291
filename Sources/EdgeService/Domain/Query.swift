/// The parameters of a query string or a form, each at most once; percent-decoded, `+` is a blank.
struct Query: Sendable, Equatable {
  private(set) var items: [(name: String, value: String)] = []

  /// What is wrong with a query.
  struct Problem: Error, Equatable {
    let field: String
    let message: String
  }

  init() {}

  /// - Parameter allowed: the names that may stand there.
  init(parsing text: some StringProtocol, allowed: Set<String>) throws(Problem) {
    for pair in text.split(separator: "&", omittingEmptySubsequences: true) {
      let equals = pair.firstIndex(of: "=")
      guard let name = PercentText.decode(equals.map { pair[..<$0] } ?? pair[...], plusIsBlank: true),
        let value = PercentText.decode(equals.map { pair[pair.index(after: $0)...] } ?? "", plusIsBlank: true)
      else { throw Problem(field: "", message: "the query is not percent-encoded UTF-8") }
      guard allowed.contains(where: { $0.utf8.elementsEqual(name.utf8) }) else {
        throw Problem(field: String(name.unicodeScalars.prefix(64)), message: "is not a parameter of this route")
      }
      guard self[name] == nil else { throw Problem(field: name, message: "is given twice") }
      items.append((name, value))
    }
  }

  subscript(name: String) -> String? { items.first { $0.name == name }?.value }

  static func == (left: Query, right: Query) -> Bool {
    left.items.elementsEqual(right.items) { $0.name == $1.name && $0.value == $1.value }
  }
}

/// Percent-encoding (RFC 3986 section 2.1).
enum PercentText {
  /// Nil for a malformed escape or for bytes that are not UTF-8.
  static func decode(_ text: some StringProtocol, plusIsBlank: Bool = false) -> String? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    var iterator = text.utf8.makeIterator()
    while let byte = iterator.next() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = iterator.next().flatMap(hexDigit), let low = iterator.next().flatMap(hexDigit) else {
          return nil
        }
        bytes.append(high << 4 | low)
      case UInt8(ascii: "+") where plusIsBlank: bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }

  /// Everything but unreserved characters escaped: for a path segment.
  static func encode(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        bytes.append(byte)
      default:
        bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
    default: nil
    }
  }
}
