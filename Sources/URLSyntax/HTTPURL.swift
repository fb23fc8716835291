/// An absolute `http` or `https` URL (RFC 9110, section 4.2) of printable ASCII, without user name and fragment.
package struct HTTPURL: Sendable, Hashable, CustomStringConvertible {
  package enum Scheme: String, Sendable { case http, https }

  /// As given: an address that another side compares, such as Google a redirect URI, stays as it is.
  package let description: String
  package let scheme: Scheme
  /// Host and port as given: what stands in a request's Host or `:authority`.
  package let authority: String
  package let host: String
  package let port: UInt16?
  package let isLoopback: Bool
  /// Path and query as they stand in a request line: at least `/`.
  package let target: String

  /// Nil for anything else.
  package init?(_ text: String) {
    guard text.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") }),
      let schemeEnd = text.firstRange(of: "://"),
      let scheme = Scheme(rawValue: text[..<schemeEnd.lowerBound].lowercased())
    else { return nil }
    let rest = text[schemeEnd.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    guard let parsed = HTTPAuthority(authority) else { return nil }
    let target = rest[authority.endIndex...]
    description = text
    self.scheme = scheme
    self.authority = String(authority)
    (host, port, isLoopback) = (parsed.host, parsed.port, parsed.isLoopback)
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  /// Without the query; at least `/`.
  package var path: String { String(target.prefix { $0 != "?" }) }

  /// Whether what is sent there stays between the two ends: `https`, or this very machine. W3C Secure Contexts, section
  /// 3.1, calls such an origin potentially trustworthy.
  package var isTrustworthy: Bool { scheme == .https || isLoopback }
}
