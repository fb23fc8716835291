package import HTTP2Session
package import HTTPTypes
package import Transport

/// What a server tolerates and how long it waits. Every number has its default and its reason here.
package struct HTTPServerConfiguration: Sendable {
  package var limits = HTTP1Limits()
  package var http2 = HTTP2Configuration()
  package var transport = Connection.Limits()
  /// From the first byte of a head to its end: an honest client sends it in one piece.
  package var headerTimeout = Duration.seconds(10)
  /// A connection without a request, before the first and between two.
  package var idleTimeout = Duration.seconds(60)
  /// A body must bring `bodyRate` bytes a second, judged over windows of this length.
  package var bodyWindow = Duration.seconds(10)
  package var bodyRate = 1024
  /// Output of which hardly anything leaves in this time (`OutputWatch.minRate`) ends the connection: the client does not
  /// read.
  package var stallTimeout = Duration.seconds(60)
  /// Bytes of answers that wait on all connections of a loop: those give way that hold most and whose client takes nothing.
  /// `http2.maxPendingBytes` bounds one connection; over HTTP/1.1 it holds one answer.
  package var maxUnsentBytes = 48 * 1024 * 1024
  /// Bytes of bodies that the requests of a loop hold until their handlers are done: three of the largest mails. Above it the
  /// largest that is still on its way is refused with 503.
  package var maxBodyBytes = 128 * 1024 * 1024
  /// Open connections of one loop; further ones are closed at once.
  package var maxConnections = 10_000
  /// Body bytes held for a handler that does not read them; then the client is made to wait.
  package var bodyBuffer = 256 * 1024
  /// Bytes behind the current request that a pipelining client may have with us.
  package var pipelineBuffer = 64 * 1024
  /// How much of an unread body is read and dropped to keep the connection for the next request.
  package var discardedBody = 64 * 1024
  /// How often timeouts are looked at: their resolution.
  package var sweepInterval = Duration.seconds(1)
  /// The answer to a request that does not come as far as the handler, and to a handler that throws.
  package var errorResponse: @Sendable (HTTPResponse.Status, String) -> HTTPServerResponse = { status, reason in
    .text(status, reason + "\n")
  }
  /// Is told the name of each limit that ended a stream or a connection.
  package var onLimit: @Sendable (String) -> Void = { _ in }

  package init() {}
}
