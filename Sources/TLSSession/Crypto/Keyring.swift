/// Named secret keys, newest first: the first one signs or seals, all of them check or open.
package struct Keyring: Sendable {
  package struct Key: Sendable {
    /// 1–32 of `A-Za-z0-9._-`; stands in the clear beside what the key made.
    package let id: String
    /// 32 bytes.
    package let secret: SecretBytes
  }

  /// At least one.
  package let keys: [Key]

  package var newest: Key { keys[0] }

  package subscript(id: String) -> Key? { keys.first { $0.id == id } }

  /// Bytes in each key.
  package static let keySize = 32

  /// Reads `id:base64,id:base64`, each key of 32 bytes. A thrown message never holds a key.
  package init(parsing text: String) throws(KeyringError) {
    var keys: [Key] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let trimmed = part.drop { $0.isWhitespace }
      guard let colon = trimmed.firstIndex(of: ":") else { throw KeyringError("a key is not id:base64") }
      let id = String(trimmed[..<colon])
      guard 1...32 ~= id.utf8.count, id.utf8.allSatisfy(Self.isAllowed) else {
        throw KeyringError("a key's id is not 1 to 32 of A-Z a-z 0-9 . _ -")
      }
      let encoded = trimmed[trimmed.index(after: colon)...].prefix { !$0.isWhitespace }
      guard let bytes = Base64.decode(encoded), bytes.count == Self.keySize else {
        throw KeyringError("the key \"\(id)\" is not the base64 of \(Self.keySize) bytes")
      }
      guard !keys.contains(where: { $0.id == id }) else { throw KeyringError("the key \"\(id)\" stands twice") }
      keys.append(Key(id: id, secret: SecretBytes(bytes)))
    }
    self.keys = keys
  }

  /// A ring of one fresh key.
  package init(generating id: String) {
    precondition(1...32 ~= id.utf8.count && id.utf8.allSatisfy(Self.isAllowed))
    keys = [Key(id: id, secret: SecretBytes(randomCount: Self.keySize))]
  }

  /// What ``init(parsing:)`` reads: the secrets in the clear, for a file that only its owner can read.
  package var revealedText: String {
    keys.map { "\($0.id):\(Base64.encode($0.secret.revealed))" }.joined(separator: ",")
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }
}

/// Why a text is no keyring.
package struct KeyringError: Error, Sendable, CustomStringConvertible {
  package let description: String
  init(_ message: String) { description = message }
}
