import MailSyntax

/// Writes header fields, folded (RFC 5322 §2.2.3) so that no line passes 76 characters where there is a place to fold,
/// and never 998.
struct HeaderWriter {
  /// RFC 2047 §2 for lines with encoded-words, two under RFC 5322 §2.1.1's 78; in octets without CRLF.
  static let preferredLine = 76
  /// RFC 5322 §2.1.1: a line must not be longer.
  static let maximumLine = 998

  private(set) var bytes: [UInt8] = []
  private var column = 0

  init(capacity: Int = 1024) { bytes.reserveCapacity(capacity) }

  /// A field of words that may be parted at spaces; each word must be printable ASCII without spaces.
  mutating func field(_ name: String, words: some Sequence<String>) {
    begin(name)
    for word in words { add(word) }
    end()
  }

  /// A field of free text (`unstructured` of RFC 5322 §2.2.1): bare where that is unambiguous, else encoded.
  mutating func field(_ name: String, text: String) {
    guard !text.isEmpty else { return field(name, words: []) }
    field(name, words: Self.words(text, after: name.utf8.count + 2))
  }

  mutating func field(_ name: String, addresses: [MailAddress]) {
    guard !addresses.isEmpty else { return }
    begin(name)
    for (index, address) in addresses.enumerated() {
      let comma = index < addresses.count - 1 ? "," : ""
      guard let name = address.displayName else {
        add(address.specification + comma)
        continue
      }
      for word in Self.phrase(name, after: index == 0 ? column + 1 : 0) { add(word) }
      add("<\(address.specification)>\(comma)")
    }
    end()
  }

  // MARK: Words

  /// Words of free text: a value that has only single inner spaces, no over-long word, and nothing that reads as an
  /// encoded-word, stands as it is.
  private static func words(_ text: String, after column: Int) -> [String] {
    let encoded = { EncodedWord.words(text, after: column) }
    guard HeaderText.isPrintableASCII(text), !HeaderText.looksEncoded(text) else { return encoded() }
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    guard words.allSatisfy({ !$0.isEmpty && $0.utf8.count < preferredLine }) else { return encoded() }
    return words.map(String.init)
  }

  /// A display name: atoms, one quoted string, or encoded-words.
  private static func phrase(_ name: String, after column: Int) -> [String] {
    guard HeaderText.isPrintableASCII(name), name.utf8.count <= 60, !HeaderText.looksEncoded(name) else {
      return EncodedWord.words(name, after: column)
    }
    let words = name.split(separator: " ", omittingEmptySubsequences: false)
    if words.allSatisfy({ !$0.isEmpty && $0.unicodeScalars.allSatisfy(HeaderText.isAtomText) }) {
      return words.map(String.init)
    }
    return [HeaderText.quoted(name)]
  }

  // MARK: Lines

  private mutating func begin(_ name: String) {
    bytes.append(contentsOf: name.utf8)
    bytes.append(UInt8(ascii: ":"))
    column = name.utf8.count + 1
  }

  private mutating func add(_ word: String) {
    let length = word.utf8.count
    // Never fold between the name and the first word: some software reads that as an empty field.
    if column + 1 + length > Self.preferredLine, bytes.last != UInt8(ascii: ":") {
      bytes.append(contentsOf: "\r\n".utf8)
      column = 0
    }
    bytes.append(UInt8(ascii: " "))
    bytes.append(contentsOf: word.utf8)
    column += 1 + length
  }

  private mutating func end() {
    bytes.append(contentsOf: "\r\n".utf8)
  }
}
