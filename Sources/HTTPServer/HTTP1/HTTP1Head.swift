package import HTTPTypes

/// How a message's body is delimited (RFC 9112 section 6).
package enum HTTP1Framing: Sendable, Equatable {
  case none
  case fixed(Int)
  case chunked
}

/// A parsed request head with what the connection must know about it.
package struct HTTP1Head: Sendable, Equatable {
  package var request: HTTPRequest
  package var framing: HTTP1Framing
  /// 0 or 1.
  package var minorVersion: Int
  package var keepAlive: Bool
  package var expectsContinue: Bool
}

/// Why a request was refused, with the status to answer. Closes the connection: what follows cannot be told apart.
package struct HTTP1ParseError: Error, Equatable, CustomStringConvertible {
  package var status: HTTPResponse.Status
  package var reason: String

  init(_ status: HTTPResponse.Status, _ reason: String) {
    self.status = status
    self.reason = reason
  }

  static func malformed(_ reason: String) -> Self { Self(.badRequest, reason) }

  package var description: String { reason }

  /// What `onLimit` is told.
  var limit: String {
    switch status {
    case .uriTooLong: "http1_target_size"
    case .requestHeaderFieldsTooLarge: "http1_header_size"
    default: "http1_protocol_violation"
    }
  }
}

/// The sizes a request must keep.
package struct HTTP1Limits: Sendable {
  /// Bytes of the request target; links longer than this belong in a body.
  package var target = 8 * 1024
  /// Bytes of all header lines.
  package var headerBlock = 16 * 1024
  package var fields = 100
  /// Bytes of a method; the longest registered one has 17.
  package var method = 20
  /// Bytes of a chunk-size line with its extensions.
  package var chunkLine = 256
  /// Bytes of chunk extensions in a whole body: nobody needs them.
  package var chunkExtensions = 4 * 1024
  /// Bytes of the trailer section, which is checked and dropped.
  package var trailers = 8 * 1024

  package init() {}
}
