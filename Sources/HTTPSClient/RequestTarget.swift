import HTTPTypes

/// Where a request goes: an absolute https URL, or an http one to a host that may be spoken to in the clear.
struct RequestTarget: Equatable {
  let url: String
  let host: String
  let isPlaintext: Bool

  /// The longest URL that is sent, in bytes. Google's and AWS's own are far below.
  static let maxURLBytes = 16_384

  init(_ request: HTTPRequest, plaintextHosts: Set<String>) throws(HTTPSClientError) {
    guard let scheme = request.scheme?.lowercased(), scheme == "https" || scheme == "http" else {
      throw HTTPSClientError(.invalidRequest, "the scheme is neither https nor http")
    }
    guard let authority = request.authority, let host = Self.host(of: authority) else {
      throw HTTPSClientError(.invalidRequest, "the authority is not a host with an optional port")
    }
    let path = request.path ?? "/"
    guard path.utf8.first == UInt8(ascii: "/"),
      path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") })
    else {
      throw HTTPSClientError(.invalidRequest, "the path is not an absolute path in percent-encoded form")
    }
    let isPlaintext = scheme == "http"
    if isPlaintext && !Self.isLoopback(host) && !plaintextHosts.contains(host) {
      throw HTTPSClientError(.invalidRequest, "plain http is only for loopback, and \(host) is not")
    }
    let url = "\(scheme)://\(authority)\(path)"
    guard url.utf8.count <= Self.maxURLBytes else {
      throw HTTPSClientError(.invalidRequest, "the URL is longer than \(Self.maxURLBytes) bytes")
    }
    self.url = url
    self.host = host
    self.isPlaintext = isPlaintext
  }

  /// The host of `host`, `host:port`, `[v6]` or `[v6]:port`, in lower case; nil when it is none of these.
  static func host(of authority: String) -> String? {
    let bytes = Array(authority.utf8)
    var hostEnd = bytes.count
    if bytes.first == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
      let address = bytes[1..<close]
      guard !address.isEmpty,
        address.allSatisfy({ isHexDigit($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") })
      else { return nil }
      hostEnd = close + 1
    } else {
      if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) { hostEnd = colon }
      let name = bytes[..<hostEnd]
      guard !name.isEmpty, name.allSatisfy(isNameByte) else { return nil }
    }
    if hostEnd < bytes.count {
      let port = bytes[(hostEnd + 1)...]
      guard bytes[hostEnd] == UInt8(ascii: ":"), let number = Int(String(decoding: port, as: UTF8.self)),
        port.allSatisfy(isDigit),
        (1...65_535).contains(number)
      else { return nil }
    }
    let host = bytes[0] == UInt8(ascii: "[") ? bytes[1..<(hostEnd - 1)] : bytes[..<hostEnd]
    return String(decoding: host, as: UTF8.self).lowercased()
  }

  /// `localhost`, 127.0.0.0/8 in its dotted form, or ::1.
  static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil && $0.utf8.allSatisfy(isDigit) }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private static func isHexDigit(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
  }
}
