import EventLoop
import HTTP2Session
import HTTPTypes
import Transport

/// One HTTP/2 connection: streams are served side by side.
final class HTTP2ServerConnection: ConnectionDelegate, ServedConnection {
  let connection: Connection
  let server: HTTPServer
  let session: HTTP2Session
  /// Handlers that have not returned, whether or not their streams still live: what rapid resets must not multiply.
  private var runningHandlers = 0
  private var idleSince: Instant
  private var isClosed = false
  private var isReadClosed = false
  private var outputWatch = OutputWatch()

  init(_ connection: Connection, server: HTTPServer) {
    self.connection = connection
    self.server = server
    var configuration = server.configuration.http2
    configuration.resetsUnreadRequests = false
    session = HTTP2Session(role: .server, configuration: configuration, now: UInt64(server.reactor.now.nanoseconds))
    idleSince = server.reactor.now
    connection.setNeedsFlush()
  }

  private var now: UInt64 { UInt64(server.reactor.now.nanoseconds) }

  // MARK: Bytes

  func connectionReady() {}

  func received(_ bytes: UnsafeRawBufferPointer) {
    do {
      try session.receive(bytes, now: now)
      dispatch()
      connection.setNeedsFlush()
    } catch {
      dispatch()
      connection.closeAfterFlush()
    }
  }

  func willFlush() {
    guard !isClosed else { return }
    do {
      while connection.isWritable, let chunk = try session.nextOutput() {
        connection.write(chunk)
        dispatch()
      }
    } catch {
      dispatch()
      return connection.closeAfterFlush()
    }
    dispatch()
    if session.isFinished || isReadClosed && hasSaidAll { connection.closeAfterFlush() }
  }

  /// Nothing more can leave to a client that sends nothing: what is left waits for windows that it cannot open.
  private var hasSaidAll: Bool { runningHandlers == 0 && !session.wantsOutput }

  func drained() { connection.setNeedsFlush() }

  func readClosed() {
    isReadClosed = true
    for stream in session.streams { exchange(stream)?.clientEnded() }
    connection.setNeedsFlush()
  }

  func closed(_ error: (any Error)?) {
    isClosed = true
    session.abandonStreams(.cancel)
    dispatch()
    server.remove(self)
  }

  // MARK: Events

  private func dispatch() {
    while let event = session.nextEvent() {
      switch event {
      case .headers(let stream, let block):
        if block.kind == .request { begin(stream, block) }
      case .data(let stream, let bytes): exchange(stream)?.received(bytes)
      case .end(let stream): exchange(stream)?.body.finish()
      case .drained(let stream): exchange(stream)?.wakeWriter()
      case .closed(let stream, _):
        exchange(stream)?.streamClosed()
        if session.openStreamCount == 0 { idleSince = server.reactor.now }
      case .limit(let limit):
        server.configuration.onLimit("http2_\(limit.rawValue)")
      case .goAway, .remoteSettings, .ping, .pong: break
      }
    }
  }

  private func exchange(_ stream: HTTP2Stream) -> HTTP2Exchange? {
    stream.owner.map { unsafeDowncast($0, to: HTTP2Exchange.self) }
  }

  private func begin(_ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) {
    guard !stream.isClosed else { return }
    guard runningHandlers < Int(server.configuration.http2.maxConcurrentStreams) else {
      server.configuration.onLimit("http2_running_handlers")
      return session.reset(stream, .refusedStream)
    }
    let exchange: HTTP2Exchange
    let head: HTTPRequest
    do {
      let parsed = try HTTP2RequestHead.parse(block, limits: server.configuration.limits)
      head = parsed.request
      exchange = HTTP2Exchange(stream, connection: self, expectedLength: block.endStream ? 0 : parsed.contentLength)
      exchange.expectsContinue = parsed.expectsContinue
    } catch {
      let refusal = HTTP2Exchange(stream, connection: self, expectedLength: nil)
      stream.owner = refusal
      return refusal.sendBytes(server.configuration.errorResponse(error.status, error.reason), isHead: false)
    }
    stream.owner = exchange
    let request = HTTPServerRequest(
      head: head, body: exchange.body, version: .http2, peer: connection.peer, isTLS: connection.isTLS,
      peerIdentity: connection.peerIdentity)
    runningHandlers += 1
    exchange.task = server.reactor.spawn { [self] in
      let response = await server.respond(to: request)
      await exchange.send(response, isHead: request.head.method == .head)
      runningHandlers -= 1
    }
  }

  // MARK: Life

  func check(now: Instant, elapsed: Duration) {
    session.check(now: UInt64(now.nanoseconds))
    for stream in session.streams where !isReadClosed && !stream.remoteEnded && !stream.isClosed {
      exchange(stream)?.check(elapsed)
    }
    if session.openStreamCount == 0, now - idleSince > server.configuration.idleTimeout {
      session.beginShutdown(now: UInt64(now.nanoseconds))
    }
    dispatch()
    if session.isAbandoned { return connection.close() }
    if outputWatch.isStalled(
      waiting: connection.bufferedBytes, sent: connection.sentBytes, now: now,
      limit: server.configuration.stallTimeout)
    {
      server.configuration.onLimit("write_stall")
      return connection.close()
    }
    connection.setNeedsFlush()
  }

  func beginDrain() {
    session.beginShutdown(now: now)
    connection.setNeedsFlush()
  }

  func abort() { connection.close() }

  var unsentBytes: Int { session.pendingBytes }

  func dropAnswers(downTo limit: Int) {
    session.resetStalled(downTo: limit)
    connection.setNeedsFlush()
  }
}
