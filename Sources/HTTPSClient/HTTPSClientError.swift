/// Why a request got no usable response. What became of the request itself is told by ``observation``.
package struct HTTPSClientError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure; an open set.
  package struct Code: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    private init(_ description: String) { self.description = description }

    /// The request cannot be sent as it is: a bad URL, a forbidden scheme, a header that the client owns, a body over the limit.
    package static let invalidRequest = Code("invalid_request")
    /// More requests wait than the client keeps.
    package static let overloaded = Code("overloaded")
    /// The host's name was not resolved.
    package static let nameResolution = Code("name_resolution")
    /// No connection came about, within the connect time-out.
    package static let connect = Code("connect")
    /// The TLS handshake failed, the server's certificate is not trusted included.
    package static let tls = Code("tls")
    /// The total time ran out.
    package static let timeout = Code("timeout")
    /// A connection was ready only after `notAfter`. Nothing was sent.
    package static let tooLate = Code("too_late")
    /// The connection broke, or closed without an answer.
    package static let connectionLost = Code("connection_lost")
    /// The server broke HTTP.
    package static let protocolViolation = Code("protocol_violation")
    /// The response head is over the limit.
    package static let headTooLarge = Code("head_too_large")
    /// The response body is over the limit.
    package static let bodyTooLarge = Code("body_too_large")
    /// The task was cancelled.
    package static let cancelled = Code("cancelled")
    /// The client was closed.
    package static let closed = Code("closed")
    /// libcurl or the system failed in another way.
    package static let system = Code("system")
  }

  package let code: Code
  /// A sentence for the log. It names the host at most, never a path, a header or a body.
  package let message: String
  package let observation: TransportObservation

  package init(_ code: Code, _ message: String, observation: TransportObservation = TransportObservation()) {
    self.code = code
    self.message = message
    self.observation = observation
  }

  package var description: String { "\(code): \(message)" }
}
