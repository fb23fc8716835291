/// The host and port of an `http` or `https` URL: `host`, `host:port`, `[v6]` or `[v6]:port`, and no user name.
///
/// RFC 3986, section 3.2; a host's characters are those that names and addresses have in practice.
package struct HTTPAuthority: Sendable, Hashable {
  /// Without brackets, in lower case.
  package let host: String
  package let port: UInt16?

  /// Nil for anything else.
  package init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    let host: ArraySlice<UInt8>
    let rest: ArraySlice<UInt8>
    if bytes.first == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      (host, rest) = (bytes[1..<close], bytes[(close + 1)...])
      guard host.allSatisfy(Self.isAddressByte) else { return nil }
    } else {
      host = bytes.prefix { $0 != UInt8(ascii: ":") }
      rest = bytes[host.endIndex...]
      guard host.allSatisfy(Self.isNameByte) else { return nil }
    }
    guard !host.isEmpty, host.count <= 253 else { return nil }
    if rest.isEmpty {
      port = nil
    } else {
      let digits = rest.dropFirst()
      guard rest.first == UInt8(ascii: ":"), digits.allSatisfy(Self.isDigit),
        let port = UInt16(String(decoding: digits, as: UTF8.self)), port > 0
      else { return nil }
      self.port = port
    }
    self.host = String(decoding: host, as: UTF8.self).lowercased()
  }

  /// Whether it names this very machine: `localhost`, 127.0.0.0/8 in its dotted form, or `::1`.
  package var isLoopback: Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127"
      && parts.allSatisfy { UInt8($0) != nil && $0.utf8.allSatisfy(Self.isDigit) }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }

  private static func isAddressByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "f") ~= byte | 0x20
      || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
      || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
  }
}
