import HTTPTypes

/// Turns a complete head (lines separated by LF) into a request.
struct HTTP1HeadParser {
  let limits: HTTP1Limits
  private static let host = HTTPField.Name("host")!

  private struct Framing {
    var contentLength: Int?
    var isChunked = false
    var host: String?
    var close = false
    var keepAlive = false
    var expectsContinue = false
  }

  func parse(_ bytes: [UInt8]) throws(HTTP1ParseError) -> HTTP1Head {
    // The last line, too, ends in LF.
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    let (method, target, minor) = try requestLine(lines.removeFirst())
    lines.removeLast()
    guard lines.count <= limits.fields else {
      throw HTTP1ParseError(.requestHeaderFieldsTooLarge, "more than \(limits.fields) header fields")
    }
    var framing = Framing()
    var fields = HTTPFields()
    fields.reserveCapacity(lines.count)
    for line in lines {
      let (name, value) = try field(line)
      try note(name, value, &framing)
      // Host becomes the authority; the rest is for the handler.
      if name != Self.host { fields.append(HTTPField(name: name, value: value)) }
    }
    let (authority, path) = try resolve(target, method: method, host: framing.host, minor: minor)
    let request = HTTPRequest(method: method, scheme: nil, authority: authority, path: path, headerFields: fields)
    return HTTP1Head(
      request: request, framing: try bodyFraming(framing, minor: minor), minorVersion: minor,
      keepAlive: minor == 1 ? !framing.close : framing.keepAlive && !framing.close,
      expectsContinue: framing.expectsContinue && minor == 1)
  }

  // MARK: Request line

  private func requestLine(
    _ line: ArraySlice<UInt8>
  ) throws(HTTP1ParseError) -> (HTTPRequest.Method, ArraySlice<UInt8>, Int) {
    let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 3 else { throw .malformed("the request line is malformed") }
    guard parts[0].count <= limits.method else { throw HTTP1ParseError(.notImplemented, "unknown method") }
    guard !parts[0].isEmpty, parts[0].allSatisfy(isTokenByte),
      let method = HTTPRequest.Method(String(decoding: parts[0], as: UTF8.self))
    else { throw .malformed("the method is not a token") }
    guard parts[1].count <= limits.target else { throw HTTP1ParseError(.uriTooLong, "the request target is too long") }
    guard !parts[1].isEmpty, parts[1].allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }) else {
      throw .malformed("the request target is malformed")
    }
    let version = Array(parts[2])
    guard version.count == 8, version.starts(with: "HTTP/".utf8), version[6] == UInt8(ascii: "."),
      (48...57).contains(version[5]), (48...57).contains(version[7])
    else { throw .malformed("the protocol version is malformed") }
    guard version[5] == UInt8(ascii: "1") else {
      throw HTTP1ParseError(.httpVersionNotSupported, "only HTTP/1.x and HTTP/2 are spoken here")
    }
    return (method, parts[1], version[7] == UInt8(ascii: "0") ? 0 : 1)
  }

  /// The four forms of a target (RFC 9112 section 3.2).
  private func resolve(
    _ target: ArraySlice<UInt8>, method: HTTPRequest.Method, host: String?, minor: Int
  ) throws(HTTP1ParseError) -> (authority: String?, path: String) {
    if host == nil, minor == 1 { throw .malformed("the Host field is missing") }
    guard method != .connect else { throw HTTP1ParseError(.notImplemented, "CONNECT is not supported") }
    let text = String(decoding: target, as: UTF8.self)
    if target.first == UInt8(ascii: "/") { return (host, text) }
    if text == "*", method == .options { return (host, text) }
    let lower = text.lowercased()
    for scheme in ["http://", "https://"] where lower.hasPrefix(scheme) {
      let rest = text.dropFirst(scheme.count)
      let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
      let authority = String(rest[..<end])
      guard !authority.isEmpty, isHost(authority.utf8) else { break }
      let path = rest[end...]
      return (authority, path.hasPrefix("/") ? String(path) : "/" + path)
    }
    throw .malformed("the request target is malformed")
  }

  // MARK: Fields

  func field(_ line: ArraySlice<UInt8>) throws(HTTP1ParseError) -> (HTTPField.Name, String) {
    if line.first == UInt8(ascii: " ") || line.first == UInt8(ascii: "\t") {
      throw .malformed("a header field is folded")
    }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
      line[..<colon].allSatisfy(isTokenByte), let name = HTTPField.Name(String(decoding: line[..<colon], as: UTF8.self))
    else { throw .malformed("a header field is malformed") }
    var value = line[(colon + 1)...]
    while let first = value.first, first == 32 || first == 9 { value.removeFirst() }
    while let last = value.last, last == 32 || last == 9 { value.removeLast() }
    guard value.allSatisfy(isFieldByte) else { throw .malformed("a header value has control characters") }
    return (name, String(decoding: value, as: UTF8.self))
  }

  private func note(_ name: HTTPField.Name, _ value: String, _ framing: inout Framing) throws(HTTP1ParseError) {
    switch name {
    case .contentLength:
      guard framing.contentLength == nil else { throw .malformed("Content-Length is repeated") }
      guard !value.isEmpty, value.utf8.count <= 18, value.utf8.allSatisfy({ (48...57).contains($0) }),
        let length = Int(value)
      else { throw .malformed("Content-Length is not a number") }
      framing.contentLength = length
    case .transferEncoding:
      guard !framing.isChunked else { throw .malformed("Transfer-Encoding is repeated") }
      guard value.lowercased() == "chunked" else {
        throw HTTP1ParseError(.notImplemented, "only the chunked transfer coding is supported")
      }
      framing.isChunked = true
    case Self.host:
      guard framing.host == nil else { throw .malformed("Host is repeated") }
      guard isHost(value.utf8) else { throw .malformed("Host is malformed") }
      framing.host = value
    case .connection:
      for token in value.lowercased().split(separator: ",") {
        let token = token.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }
        if token == "close" { framing.close = true }
        if token == "keep-alive" { framing.keepAlive = true }
      }
    case .expect:
      guard value.lowercased() == "100-continue" else {
        throw HTTP1ParseError(.expectationFailed, "the expectation is not supported")
      }
      framing.expectsContinue = true
    default: break
    }
  }

  private func bodyFraming(_ framing: Framing, minor: Int) throws(HTTP1ParseError) -> HTTP1Framing {
    if framing.isChunked {
      guard framing.contentLength == nil else { throw .malformed("Content-Length beside Transfer-Encoding") }
      guard minor == 1 else { throw .malformed("Transfer-Encoding in HTTP/1.0") }
      return .chunked
    }
    guard let length = framing.contentLength, length > 0 else { return .none }
    return .fixed(length)
  }
}

/// Characters of host and port; no user information (RFC 9110 section 4.2.4), no path.
func isHost(_ bytes: String.UTF8View) -> Bool {
  bytes.count <= 261
    && bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "%"),
        UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "("),
        UInt8(ascii: ")"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: ","), UInt8(ascii: ";"),
        UInt8(ascii: "="):
        true
      default: false
      }
    }
}
