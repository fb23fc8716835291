/// Where an endpoint's webhooks go: `https://host[:port]/path?query`, without user name and fragment. Plain http names
/// this very machine or nothing: whether that is wanted is the sender's to say.
package struct WebhookURL: Sendable, Hashable, CustomStringConvertible {
  /// In bytes, of the text as given and of the description, which always has a path: it is what is kept.
  package static let maximumLength = 2048

  package let scheme: String
  /// With the port where one is given.
  package let authority: String
  /// Without brackets, in lower case.
  package let host: String
  package let port: UInt16
  /// With the query.
  package let path: String

  package var description: String { "\(scheme)://\(authority)\(path)" }
  package var isPlaintext: Bool { scheme == "http" }

  package init?(_ text: String) {
    guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") }),
      let scheme = ["https", "http"].first(where: { text.hasPrefix("\($0)://") })
    else { return nil }
    let rest = text.dropFirst(scheme.utf8.count + 3)
    let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    let authority = rest[..<end]
    let path = rest[end...]
    guard let (host, port) = Self.split(authority) else { return nil }
    self.scheme = scheme
    self.authority = String(authority)
    self.host = host
    self.port = port ?? (scheme == "https" ? 443 : 80)
    self.path = path.hasPrefix("/") ? String(path) : "/" + path
    guard scheme == "https" || host == "localhost" || host == "::1" || host.hasPrefix("127."),
      description.utf8.count <= Self.maximumLength
    else { return nil }
  }

  private static func split(_ authority: Substring) -> (host: String, port: UInt16?)? {
    var host = authority
    var portText: Substring?
    if authority.hasPrefix("[") {
      guard let close = authority.firstIndex(of: "]") else { return nil }
      host = authority[authority.index(after: authority.startIndex)..<close]
      let after = authority[authority.index(after: close)...]
      guard after.isEmpty || after.hasPrefix(":") else { return nil }
      if !after.isEmpty { portText = after.dropFirst() }
      guard host.utf8.allSatisfy({ isHex($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }) else {
        return nil
      }
    } else {
      if let colon = authority.firstIndex(of: ":") {
        host = authority[..<colon]
        portText = authority[authority.index(after: colon)...]
      }
      guard
        host.utf8.allSatisfy({
          isHex($0) || 0x67...0x7A ~= $0 | 0x20 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
        })
      else { return nil }
    }
    guard !host.isEmpty, host.utf8.count <= 253 else { return nil }
    guard let portText else { return (host.lowercased(), nil) }
    guard let port = UInt16(portText), port > 0, portText.utf8.allSatisfy({ 48...57 ~= $0 }) else { return nil }
    return (host.lowercased(), port)
  }

  private static func isHex(_ byte: UInt8) -> Bool { 48...57 ~= byte || 0x61...0x66 ~= byte | 0x20 }
}
