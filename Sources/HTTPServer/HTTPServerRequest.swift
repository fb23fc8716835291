package import EventLoop
package import HTTPTypes
package import TLSSession

/// A request as a handler gets it. `head.path` is as sent (percent-encoded, with its query); `head.authority` holds Host.
package struct HTTPServerRequest {
  package enum Version: Sendable { case http10, http11, http2 }

  package var head: HTTPRequest
  package let body: HTTPRequestBody
  package let version: Version
  package let peer: SocketAddress
  package let isTLS: Bool
  package let peerIdentity: PeerIdentity?
}

/// Answers a request. Runs as a task on the connection's loop; the task is cancelled when the client goes away. What it
/// throws becomes a 500 (`HTTPBodyError`: its own status).
package typealias HTTPHandler = (HTTPServerRequest) async throws -> HTTPServerResponse
