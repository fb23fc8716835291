import HTTPTypes
import URLSyntax

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
    guard let authority = request.authority, let destination = HTTPAuthority(authority) else {
      throw HTTPSClientError(.invalidRequest, "the authority is not a host with an optional port")
    }
    let path = request.path ?? "/"
    guard path.utf8.first == UInt8(ascii: "/"),
      path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") })
    else {
      throw HTTPSClientError(.invalidRequest, "the path is not an absolute path in percent-encoded form")
    }
    let isPlaintext = scheme == "http"
    if isPlaintext && !destination.isLoopback && !plaintextHosts.contains(destination.host) {
      throw HTTPSClientError(.invalidRequest, "plain http is only for loopback, and \(destination.host) is not")
    }
    let url = "\(scheme)://\(authority)\(path)"
    guard url.utf8.count <= Self.maxURLBytes else {
      throw HTTPSClientError(.invalidRequest, "the URL is longer than \(Self.maxURLBytes) bytes")
    }
    self.url = url
    host = destination.host
    self.isPlaintext = isPlaintext
  }
}
