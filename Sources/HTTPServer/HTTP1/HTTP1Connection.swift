import EventLoop
import HTTPTypes
import Transport

/// One HTTP/1.x connection: requests are served one after the other, in order; a pipelining client waits.
final class HTTP1Connection: ConnectionDelegate, ServedConnection {
  /// A request between its head and the end of its response.
  final class Exchange {
    let head: HTTP1Head
    let body: HTTPRequestBody
    var task: Task<Void, any Error>?
    var requestIsComplete: Bool
    var continueSent = false
    var bodyBytes = 0
    /// The response is written; what is left of the body is dropped.
    var isAnswered = false
    /// The body broke: no next request can be found behind it.
    var isBroken = false

    init(head: HTTP1Head, body: HTTPRequestBody) {
      self.head = head
      self.body = body
      requestIsComplete = head.framing == .none
    }
  }

  let connection: Connection
  let server: HTTPServer
  private var parser: HTTP1RequestParser
  private(set) var exchange: Exchange?
  private var pipelined: [UInt8] = []
  private var isPaused = false
  private var isClosing = false
  private var pace = BodyPace()
  private var headStarted: Instant?
  private var idleSince: Instant
  /// No request has come yet.
  private var isFresh = true
  private var writable: Waiter<Void>?
  private var outputWatch = OutputWatch()
  private var answerWatch = OutputWatch()
  /// The client has hardly taken anything for a while.
  private var isStuck = false
  /// How long that is: as over HTTP/2.
  private static let stallGrace = Duration.seconds(5)

  init(_ connection: Connection, server: HTTPServer) {
    self.connection = connection
    self.server = server
    parser = HTTP1RequestParser(limits: server.configuration.limits)
    idleSince = server.reactor.now
  }

  // MARK: Input

  func connectionReady() {}

  func received(_ bytes: UnsafeRawBufferPointer) {
    guard !isClosing else { return }
    if parser.isComplete { hold(bytes) } else { process(bytes) }
  }

  /// Keeps what a pipelining client sent ahead of time.
  private func hold(_ bytes: UnsafeRawBufferPointer) {
    pipelined.append(contentsOf: bytes)
    if pipelined.count > server.configuration.pipelineBuffer { pause() }
  }

  private func process(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !isClosing {
      do {
        let (count, output) = try parser.consume(rest)
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        switch output {
        case .needMore:
          if parser.isComplete, !rest.isEmpty { hold(rest) }
          headStarted = exchange == nil && parser.isInMessage ? headStarted ?? server.reactor.now : nil
          return
        case .head(let head): begin(head)
        case .body(let part): receivedBody(part)
        case .end: requestEnded()
        }
      } catch {
        return refuse(error)
      }
    }
  }

  private func begin(_ head: HTTP1Head) {
    let length: Int? = if case .fixed(let length) = head.framing { length } else { nil }
    let body = HTTPRequestBody(
      expectedLength: head.framing == .none ? 0 : length, reactor: server.reactor, budget: server.bodies, source: self)
    let exchange = Exchange(head: head, body: body)
    if exchange.requestIsComplete { body.finish() }
    self.exchange = exchange
    isFresh = false
    pace.restart()
    var request = head.request
    request.scheme = connection.isTLS ? "https" : "http"
    let incoming = HTTPServerRequest(
      head: request, body: body, version: head.minorVersion == 0 ? .http10 : .http11, peer: connection.peer,
      isTLS: connection.isTLS, peerIdentity: connection.peerIdentity)
    exchange.task = server.reactor.spawn { [self] in
      let response = await server.respond(to: incoming)
      await send(response, for: exchange)
    }
  }

  private func receivedBody(_ bytes: UnsafeRawBufferPointer) {
    guard let exchange else { return }
    exchange.bodyBytes += bytes.count
    pace.received(bytes.count)
    guard !exchange.isAnswered else { return }
    exchange.body.append(bytes)
    if exchange.body.unread >= server.configuration.bodyBuffer { pause() }
  }

  private func requestEnded() {
    guard let exchange, !exchange.requestIsComplete else { return }
    exchange.requestIsComplete = true
    exchange.body.finish()
    if exchange.isAnswered { exchangeEnded() }
  }

  private func refuse(_ error: HTTP1ParseError) {
    server.configuration.onLimit(error.limit)
    if let exchange {
      exchange.isBroken = true
      if exchange.isAnswered { return close() }
      exchange.body.fail(.malformed)
      pause()
    } else {
      answerWithoutRequest(error.status, error.reason)
    }
  }

  private func answerWithoutRequest(_ status: HTTPResponse.Status, _ reason: String) {
    let response = server.configuration.errorResponse(status, reason)
    guard case .bytes(let bytes) = response.body else { return close() }
    write(
      HTTP1ResponseEncoder.head(
        response.head, framing: .length(bytes.count), close: true, minorVersion: 1, date: server.date.current()))
    write(bytes)
    close()
  }

  private func pause() {
    guard !isPaused else { return }
    isPaused = true
    connection.pauseReading()
  }

  private func resume() {
    guard isPaused else { return }
    isPaused = false
    connection.resumeReading()
  }

  // MARK: Output

  private func write(_ bytes: [UInt8]) { connection.write(bytes) }

  private func send(_ response: HTTPServerResponse, for exchange: Exchange) async {
    guard !isClosing, self.exchange === exchange else { return }
    if case .none = response.body { return abort() }
    let head = exchange.head
    let omitsBody = head.request.method == .head || HTTP1ResponseEncoder.forbidsBody(response.head.status)
    var keepAlive = head.keepAlive && !server.isDraining && !exchange.isBroken && canSkipRest(of: exchange)
    let framing: HTTP1ResponseEncoder.Framing
    switch response.body {
    case _ where HTTP1ResponseEncoder.forbidsBody(response.head.status): framing = .none
    case .bytes(let bytes): framing = .length(bytes.count)
    case .stream where head.minorVersion == 0:
      framing = .untilClose
      keepAlive = false
    case .stream: framing = .chunked
    case .none: framing = .none
    }
    write(
      HTTP1ResponseEncoder.head(
        response.head, framing: framing, close: !keepAlive, minorVersion: head.minorVersion,
        date: server.date.current()))
    if !omitsBody {
      switch response.body {
      case .bytes(let bytes): write(bytes)
      case .stream(let produce):
        guard await stream(produce, chunked: head.minorVersion == 1) else { return abort() }
      case .none: break
      }
    }
    // The next answer does not join one that is not taken. Whoever ends the wait says so in what is looked at next.
    if keepAlive { try? await waitUntilWritable() }
    exchange.isAnswered = true
    guard !isClosing, self.exchange === exchange else { return }
    guard keepAlive, !exchange.isBroken else { return close() }
    if exchange.requestIsComplete {
      exchangeEnded()
      processPipelined()
    } else {
      exchange.body.fail(.connectionClosed)
      resume()
    }
  }

  private func stream(
    _ produce: (HTTPResponseWriter) async throws -> Void, chunked: Bool
  ) async -> Bool {
    let sink = HTTP1BodySink(self, chunked: chunked)
    let writer = HTTPResponseWriter(sink: sink)
    defer { writer.finish() }
    do {
      try await produce(writer)
      if chunked { write(HTTP1ResponseEncoder.lastChunk) }
      return true
    } catch {
      return false
    }
  }

  func writeBody(_ bytes: [UInt8], chunked: Bool) { write(chunked ? HTTP1ResponseEncoder.chunk(bytes) : bytes) }

  var isOpen: Bool { !isClosing && connection.isOpen }

  func waitUntilWritable() async throws {
    while isOpen, !connection.isWritable { try await server.reactor.wait { writable = $0 } }
    guard isOpen else { throw HTTPBodyError.connectionClosed }
  }

  func drained() { wakeWriter() }

  private func wakeWriter() {
    let waiter = writable
    writable = nil
    waiter?.resume(returning: ())
  }

  /// Whether the unread rest of the request is small enough to read and drop, so that the connection may live on.
  private func canSkipRest(of exchange: Exchange) -> Bool {
    if exchange.requestIsComplete { return true }
    if exchange.head.expectsContinue, !exchange.continueSent { return false }
    guard case .fixed(let length) = exchange.head.framing else { return false }
    return length - exchange.bodyBytes <= server.configuration.discardedBody
  }

  private func exchangeEnded() {
    exchange = nil
    idleSince = server.reactor.now
    if server.isDraining { return close() }
    parser.startNext()
  }

  private func processPipelined() {
    guard !isClosing else { return }
    resume()
    guard !pipelined.isEmpty else { return }
    let bytes = pipelined
    pipelined = []
    bytes.withUnsafeBytes { process($0) }
  }

  // MARK: Ends

  /// Ends the connection once everything written has left.
  private func close() {
    isClosing = true
    wakeWriter()
    connection.closeAfterFlush()
  }

  func readClosed() {
    // Nothing is waited for but what it will not send.
    guard let exchange, !exchange.isAnswered else { return close() }
    // A client that ends its side while it waits is taken for gone.
    exchange.isBroken = true
    if !exchange.requestIsComplete { exchange.body.fail(.connectionClosed) }
    exchange.task?.cancel()
  }

  func closed(_ error: (any Error)?) {
    isClosing = true
    exchange?.task?.cancel()
    exchange?.body.fail(.connectionClosed)
    exchange = nil
    wakeWriter()
    server.remove(self)
  }

  /// A client that has just connected is about to send its first request, which is answered still.
  func beginDrain() {
    if exchange == nil, !isFresh { close() }
  }

  func abort() {
    isClosing = true
    connection.close()
  }

  // MARK: Limits

  var unsentBytes: Int { connection.bufferedBytes }

  func dropAnswers(downTo limit: Int) {
    guard isStuck, unsentBytes > limit else { return }
    server.configuration.onLimit("response_bytes")
    abort()
  }

  func check(now: Instant, elapsed: Duration) {
    let configuration = server.configuration
    if outputWatch.isStalled(
      waiting: connection.bufferedBytes, sent: connection.sentBytes, now: now, limit: configuration.stallTimeout)
    {
      configuration.onLimit("write_stall")
      return abort()
    }
    isStuck = answerWatch.isStalled(
      waiting: connection.bufferedBytes, sent: connection.sentBytes, now: now, limit: Self.stallGrace)
    guard !isClosing else { return }
    guard let exchange else {
      if let headStarted {
        if now - headStarted > configuration.headerTimeout {
          configuration.onLimit("header_timeout")
          answerWithoutRequest(.requestTimeout, "the request head did not come in time")
        }
      } else if now - idleSince > server.idleTimeout {
        close()
      }
      return
    }
    let isWaiting = !exchange.requestIsComplete && !isPaused && !exchange.isBroken
    // A client that waits for "100 Continue" is not slow.
    guard isWaiting, !exchange.head.expectsContinue || exchange.continueSent else { return }
    guard !pace.waited(elapsed, configuration) else { return }
    configuration.onLimit("body_rate")
    exchange.isBroken = true
    if exchange.isAnswered { close() } else { exchange.body.fail(.tooSlow) }
  }
}

extension HTTP1Connection: BodySource {
  func bodyWanted() {
    guard let exchange, exchange.head.expectsContinue, !exchange.continueSent else { return }
    exchange.continueSent = true
    if exchange.bodyBytes == 0, !exchange.requestIsComplete { write(HTTP1ResponseEncoder.continueResponse) }
  }

  func bodyConsumed(_ count: Int) {
    guard let exchange, !exchange.isBroken, !exchange.requestIsComplete else { return }
    resume()
  }
}

/// The body of one response on a connection that may carry more.
private final class HTTP1BodySink: ResponseSink {
  private let connection: HTTP1Connection
  private let chunked: Bool

  init(_ connection: HTTP1Connection, chunked: Bool) {
    self.connection = connection
    self.chunked = chunked
  }

  var isOpen: Bool { connection.isOpen }
  var isWritable: Bool { connection.connection.isWritable }
  func writeBody(_ bytes: [UInt8]) { connection.writeBody(bytes, chunked: chunked) }
  func waitUntilWritable() async throws { try await connection.waitUntilWritable() }
}
