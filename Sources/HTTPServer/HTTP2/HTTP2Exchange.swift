import EventLoop
import HTTP2Session
import HTTPTypes
import Transport

/// A request on one stream, from its head to the end of its response.
final class HTTP2Exchange: ResponseSink, BodySource {
  private(set) var body: HTTPRequestBody!
  var task: Task<Void, any Error>?
  var expectsContinue = false
  private let stream: HTTP2Stream
  private unowned let connection: HTTP2ServerConnection
  private var pace = BodyPace()
  private var writable: Waiter<Void>?
  private var isClosed = false
  private var checksSinceEnd = 0
  /// Checks, about a second apart, for which an answered request may go on.
  private static let patience = 5
  private var buffered = 0
  /// Bytes of a response that may wait inside the session before the handler has to.
  private static let highWater = 256 * 1024

  init(_ stream: HTTP2Stream, connection: HTTP2ServerConnection, expectedLength: Int?) {
    self.stream = stream
    self.connection = connection
    body = HTTPRequestBody(
      expectedLength: expectedLength, reactor: connection.server.reactor, budget: connection.server.bodies, source: self
    )
  }

  // MARK: Request body

  func received(_ bytes: UnsafeRawBufferPointer) {
    pace.received(bytes.count)
    buffered += bytes.count
    body.append(bytes)
  }

  func bodyWanted() {
    guard expectsContinue, !isClosed, !stream.remoteEnded else { return }
    expectsContinue = false
    var fields = HTTP2FieldList()
    fields.append(":status", "100")
    connection.session.submitInformational(stream, fields)
    connection.connection.setNeedsFlush()
  }

  func bodyConsumed(_ count: Int) {
    buffered -= count
    guard !isClosed else { return }
    connection.session.consume(stream, count)
    connection.connection.setNeedsFlush()
  }

  func check(_ elapsed: Duration) {
    if stream.localEnded {
      // Answered, and the client still sends. A busy one needs time to take the answer: curl forgets it when the stream
      // is reset before.
      if checksSinceEnd == Self.patience { connection.session.reset(stream, .noError) }
      checksSinceEnd += 1
      return
    }
    let configuration = connection.server.configuration
    // A full buffer is our own slowness, and a client that waits for "100" is not slow.
    guard buffered < Int(configuration.http2.initialStreamWindow), !expectsContinue else { return }
    guard !pace.waited(elapsed, configuration) else { return }
    configuration.onLimit("body_rate")
    body.fail(.tooSlow)
  }

  // MARK: Response

  func send(_ response: HTTPServerResponse, isHead: Bool) async {
    guard !isClosed else { return }
    if case .none = response.body {
      connection.session.reset(stream, .internalError)
      return connection.connection.setNeedsFlush()
    }
    guard case .stream(let produce) = response.body, !isHead,
      !HTTP1ResponseEncoder.forbidsBody(response.head.status)
    else { return sendBytes(response, isHead: isHead) }
    connection.session.submitResponse(stream, fields(response.head, length: nil), endStream: false)
    connection.connection.setNeedsFlush()
    let writer = HTTPResponseWriter(sink: self)
    defer { writer.finish() }
    do {
      try await produce(writer)
      guard !isClosed else { return }
      connection.session.end(stream)
    } catch {
      guard !isClosed else { return }
      connection.session.reset(stream, .internalError)
    }
    connection.connection.setNeedsFlush()
  }

  func sendBytes(_ response: HTTPServerResponse, isHead: Bool) {
    var bytes: [UInt8] = []
    var length: Int?
    if case .bytes(let body) = response.body {
      bytes = body
      length = HTTP1ResponseEncoder.forbidsBody(response.head.status) ? nil : body.count
    }
    let endStream = isHead || bytes.isEmpty || HTTP1ResponseEncoder.forbidsBody(response.head.status)
    connection.session.submitResponse(stream, fields(response.head, length: length), endStream: endStream)
    if !endStream {
      connection.session.write(stream, bytes)
      connection.session.end(stream)
    }
    connection.connection.setNeedsFlush()
  }

  private func fields(_ head: HTTPResponse, length: Int?) -> HTTP2FieldList {
    var fields = HTTP2FieldList()
    fields.append(":status", String(head.status.code))
    for field in head.headerFields where !HTTP1ResponseEncoder.isServersOwn(field.name) {
      field.withUnsafeBytesOfValue { fields.append(name: field.name.canonicalName.utf8, value: $0) }
    }
    if !head.headerFields.contains(.date) { fields.append("date", connection.server.date.current()) }
    if let length { fields.append("content-length", String(length)) }
    return fields
  }

  // MARK: Sink

  var isOpen: Bool { !isClosed }
  var isWritable: Bool { stream.pendingBytes < Self.highWater }

  func writeBody(_ bytes: [UInt8]) {
    connection.session.write(stream, bytes)
    connection.connection.setNeedsFlush()
  }

  func waitUntilWritable() async throws {
    while !isClosed, !isWritable {
      connection.session.notifyWhenPending(stream, below: Self.highWater / 4)
      try await connection.server.reactor.wait { writable = $0 }
    }
    guard !isClosed else { throw HTTPBodyError.connectionClosed }
  }

  func wakeWriter() {
    let waiter = writable
    writable = nil
    waiter?.resume(returning: ())
  }

  /// As over HTTP/1.1 a client that ends its side while it waits is taken for gone; what its handlers answer to that still
  /// goes to one that only sends no more.
  func clientEnded() {
    if !stream.remoteEnded { body.fail(.connectionClosed) }
    task?.cancel()
  }

  /// The stream is gone: nobody waits for the handler any more.
  func streamClosed() {
    isClosed = true
    task?.cancel()
    body.fail(.connectionClosed)
    wakeWriter()
  }
}
