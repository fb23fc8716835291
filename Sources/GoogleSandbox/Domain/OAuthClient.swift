/// The platform's registration with the provider.
struct OAuthClient: Sendable {
  let id: String
  let secret: String
  /// Compared as they stand, as Google does.
  let redirectURIs: Set<String>
}

/// A mail account of the stand-in. Any address that somebody types on the consent page is one.
struct Account: Sendable, Equatable {
  /// Google's lasting name of the account: 21 digits. Derived from the address, so that it is the same after a reset.
  let sub: String
  let address: String

  /// Nil for what is no address.
  init?(address: String) {
    let address = address.trimmingSpaces.lowercased()
    guard Self.isAddress(address) else { return nil }
    self.address = address
    var digits = "1"
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for round in 0..<20 {
      for byte in address.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      hash = (hash ^ UInt64(round)) &* 0x100_0000_01b3
      digits += String((hash >> 33) % 10)
    }
    sub = digits
  }

  /// Whether a text, trimmed and in lower case, is an address.
  static func isAddress(_ text: String) -> Bool {
    let parts = text.utf8.split(separator: UInt8(ascii: "@"), omittingEmptySubsequences: false)
    return parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty && text.utf8.count <= 254
      && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && !#"<>"(),;:\"#.utf8.contains($0) }
  }
}

extension StringProtocol {
  var trimmingSpaces: String {
    let scalars = unicodeScalars
    // Unicode's tables are asked only where they must be: most of a mail's header is ASCII.
    func isText(_ scalar: Unicode.Scalar) -> Bool {
      scalar.isASCII ? scalar != " " && !("\t"..."\r" ~= scalar) : !scalar.properties.isWhitespace
    }
    guard let first = scalars.firstIndex(where: isText), let last = scalars.lastIndex(where: isText) else { return "" }
    return String(self[first..<scalars.index(after: last)])
  }
}
