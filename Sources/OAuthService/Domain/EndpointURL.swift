/// The address of something secrets are sent to: `https`, or `http` to this very machine.
struct EndpointURL: Hashable, Sendable, CustomStringConvertible {
  /// As given.
  let description: String
  let isSecure: Bool
  /// Host and port.
  let authority: String
  /// Without query; at least `/`.
  let path: String
  /// Path and query: what stands in a request line.
  let target: String

  /// Nil for another scheme, plain `http` to another machine, user information, a fragment, control characters.
  init?(_ text: String) {
    guard text.utf8.count <= 2048, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }),
      let schemeEnd = text.firstRange(of: "://")
    else { return nil }
    let rest = text[schemeEnd.upperBound...]
    let authorityEnd = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
    let authority = rest[..<authorityEnd]
    guard !authority.contains("@"), let host = Self.host(of: authority) else { return nil }
    switch text[..<schemeEnd.lowerBound].lowercased() {
    case "https": isSecure = true
    case "http" where Self.isLoopback(host): isSecure = false
    default: return nil
    }
    let after = rest[authorityEnd...]
    let target = after.hasPrefix("/") ? String(after) : "/" + after
    description = text
    self.authority = String(authority)
    self.target = target
    path = String(target.prefix { $0 != "?" })
  }

  private static func host(of authority: Substring) -> Substring? {
    let host: Substring
    let port: Substring
    if authority.hasPrefix("[") {
      guard let end = authority.firstIndex(of: "]") else { return nil }
      host = authority[...end]
      port = authority[authority.index(after: end)...]
    } else {
      host = authority.prefix { $0 != ":" }
      port = authority[host.endIndex...]
    }
    guard !host.isEmpty, host != "[]" else { return nil }
    guard port.isEmpty || (port.hasPrefix(":") && UInt16(port.dropFirst()) != nil) else { return nil }
    return host
  }

  private static func isLoopback(_ host: Substring) -> Bool {
    if host == "localhost" || host == "[::1]" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }
}
