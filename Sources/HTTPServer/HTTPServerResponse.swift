package import HTTPTypes

/// What a handler answers. `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the server's business.
package struct HTTPServerResponse {
  package enum Body {
    case bytes([UInt8])
    /// Called once the head is sent; the body ends when it returns. A throw cuts the body short, visibly to the client.
    case stream((HTTPResponseWriter) async throws -> Void)
    /// No answer at all: the connection is closed, over HTTP/2 the stream is reset. For servers that act out failures.
    case none
  }

  package var head: HTTPResponse
  package var body: Body

  package init(_ status: HTTPResponse.Status, headers: HTTPFields = [:], body: [UInt8] = []) {
    head = HTTPResponse(status: status, headerFields: headers)
    self.body = .bytes(body)
  }

  package init(
    _ status: HTTPResponse.Status, headers: HTTPFields,
    stream: @escaping (HTTPResponseWriter) async throws -> Void
  ) {
    head = HTTPResponse(status: status, headerFields: headers)
    body = .stream(stream)
  }

  /// See `Body.none`.
  package static var abandoned: Self {
    var response = Self(.internalServerError)
    response.body = .none
    return response
  }

  package static func text(_ status: HTTPResponse.Status, _ text: String) -> Self {
    Self(status, headers: [.contentType: "text/plain; charset=utf-8"], body: Array(text.utf8))
  }
}

/// Where a streamed body goes. Lives on the connection's loop.
package final class HTTPResponseWriter {
  private var sink: (any ResponseSink)?

  init(sink: any ResponseSink) { self.sink = sink }

  /// The body is over: a writer that somebody kept writes nowhere.
  func finish() { sink = nil }

  /// Sends bytes, waiting while the client is slower than the handler.
  ///
  /// - Throws: `HTTPBodyError.connectionClosed` when the client is gone, `CancellationError`.
  package func write(_ bytes: [UInt8]) async throws {
    guard !bytes.isEmpty else { return }
    try Task.checkCancellation()
    guard let sink, sink.isOpen else { throw HTTPBodyError.connectionClosed }
    sink.writeBody(bytes)
    if !sink.isWritable { try await sink.waitUntilWritable() }
  }
}

/// A connection's or stream's side of `HTTPResponseWriter`.
protocol ResponseSink: AnyObject {
  var isOpen: Bool { get }
  var isWritable: Bool { get }
  func writeBody(_ bytes: [UInt8])
  func waitUntilWritable() async throws
}
