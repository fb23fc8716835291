import HTTP2Session
import HTTPTypes

/// A request head out of a field section. nghttp2 has checked the pseudo fields' presence and order (RFC 9113 section 8).
struct HTTP2RequestHead {
  var request: HTTPRequest
  var contentLength: Int?
  var expectsContinue = false

  static func parse(_ block: HTTP2HeaderBlock, limits: HTTP1Limits) throws(HTTP1ParseError) -> Self {
    var method = HTTPRequest.Method.get
    var scheme: String?
    var authority: String?
    var host: String?
    var path: String?
    var head = Self(request: HTTPRequest(method: .get, scheme: nil, authority: nil, path: nil))
    var fields = HTTPFields()
    fields.reserveCapacity(block.count)
    var cookies: [String] = []
    for index in 0..<block.count {
      let name = block.name(index)
      let value = String(decoding: block.value(index), as: UTF8.self)
      if name.equals(":method") {
        guard value.utf8.count <= limits.method, let known = HTTPRequest.Method(value) else {
          throw HTTP1ParseError(.notImplemented, "unknown method")
        }
        method = known
      } else if name.equals(":scheme") {
        scheme = value
      } else if name.equals(":authority") {
        authority = value
      } else if name.equals(":path") {
        path = value
      } else if name.equals("host") {
        host = value
      } else if name.equals("cookie") {
        cookies.append(value)
      } else {
        try head.note(name, value)
        guard let fieldName = HTTPField.Name(String(decoding: name, as: UTF8.self)) else {
          throw .malformed("a field name is malformed")
        }
        fields.append(HTTPField(name: fieldName, value: value))
      }
    }
    // RFC 9113 section 8.2.3: cookie crumbs are one field again.
    if !cookies.isEmpty { fields[.cookie] = cookies.joined(separator: "; ") }
    guard method != .connect else { throw HTTP1ParseError(.notImplemented, "CONNECT is not supported") }
    guard let path, path.utf8.first == UInt8(ascii: "/") || (path == "*" && method == .options) else {
      throw .malformed("the request target is malformed")
    }
    guard path.utf8.count <= limits.target else { throw HTTP1ParseError(.uriTooLong, "the request target is too long") }
    guard path.utf8.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") }) else {
      throw .malformed("the request target is malformed")
    }
    // RFC 9113 section 8.3.1: of two hosts, somebody on the way may have read the other.
    let named = authority ?? host
    if let named, !isHost(named.utf8) { throw .malformed("the authority is malformed") }
    if let authority, let host, authority.lowercased() != host.lowercased() {
      throw .malformed("the authority is malformed")
    }
    head.request = HTTPRequest(
      method: method, scheme: scheme, authority: named, path: path, headerFields: fields)
    return head
  }

  private mutating func note(_ name: UnsafeRawBufferPointer, _ value: String) throws(HTTP1ParseError) {
    if name.equals("content-length") {
      contentLength = Int(value)
    } else if name.equals("expect") {
      guard value.lowercased() == "100-continue" else {
        throw HTTP1ParseError(.expectationFailed, "the expectation is not supported")
      }
      expectsContinue = true
    }
  }
}
