import EventLoop
import HTTP2Session
import Transport
import WireCodec

/// One HTTP/2 connection that carries calls: the transport below, the session, and its streams' `CallStream`s above.
/// The server's and the client's connections are its subclasses. Not Sendable; lives on its loop.
/// State without exclusivity checks: see `CallStream`.
class RPCConnection: ConnectionDelegate, HTTP2DataSink {
  final let transport: Connection
  final let session: HTTP2Session
  final let reactor: Reactor
  private final let frames: FrameWriter
  /// The transport is gone.
  @exclusivity(unchecked) private(set) final var isClosed = false
  /// What the transport ended with; nil in order, or while it is there.
  private(set) final var failure: (any Error)?
  @exclusivity(unchecked) private final var isFlushAsked = false
  @exclusivity(unchecked) private final var isReadClosed = false
  /// When bytes last came from the peer.
  @exclusivity(unchecked) private(set) final var lastReceivedAt: Instant
  final let openedAt: Instant
  @exclusivity(unchecked) private(set) final var receivedBytes = 0
  private final var outputWatch = OutputWatch()

  init(
    transport: Connection, role: HTTP2Session.Role, configuration: HTTP2Configuration, frames: FrameWriter,
    memory: SessionMemory
  ) {
    self.transport = transport
    self.frames = frames
    reactor = transport.reactor
    openedAt = transport.reactor.now
    lastReceivedAt = openedAt
    session = HTTP2Session(
      role: role, configuration: configuration, memory: memory, now: transport.reactor.nanoseconds)
    session.dataSink = self
  }

  // MARK: What calls ask for

  /// Encodes and queues a message.
  ///
  /// - Returns: its size with the prefix, in bytes.
  final func write(_ stream: HTTP2Stream, _ message: some WireMessage) -> Int {
    setNeedsFlush()
    // With bytes before it, its own would be moved behind them.
    if FrameWriter.isLarge(message), stream.pendingBytes == 0 {
      let framed = message.frameBytes()
      session.write(stream, framed)
      return framed.count
    }
    return frames.withFrame(message) { framed in
      session.write(stream, framed)
      return framed.count
    }
  }

  final func write(_ stream: HTTP2Stream, framed bytes: [UInt8]) {
    session.write(stream, bytes)
    setNeedsFlush()
  }

  final func end(_ stream: HTTP2Stream) {
    session.end(stream)
    setNeedsFlush()
  }

  final func consume(_ stream: HTTP2Stream, _ count: Int) {
    session.consume(stream, count)
    if session.wantsOutput { setNeedsFlush() }
  }

  final func notifyWhenDrained(_ stream: HTTP2Stream, below count: Int) {
    session.notifyWhenPending(stream, below: count)
  }

  final func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
    session.reset(stream, code)
    setNeedsFlush()
  }

  /// Has the session's output taken at the end of the tick. Asked for several times a call: kept cheap.
  final func setNeedsFlush() {
    guard !isFlushAsked else { return }
    isFlushAsked = true
    transport.setNeedsFlush()
  }

  /// Checks the limits that time alone breaks; about once a second.
  final func check() {
    session.check(now: reactor.nanoseconds)
    deliverEvents()
    if session.wantsOutput { setNeedsFlush() }
    if session.isAbandoned { return transport.close() }
    let limit = Duration.nanoseconds(Int64(clamping: session.configuration.stallTimeout))
    if outputWatch.isStalled(
      waiting: transport.bufferedBytes, sent: transport.sentBytes, now: reactor.now, limit: limit)
    {
      limitExceeded(.writeStall)
      transport.close()
    }
  }

  // MARK: Overridden

  /// The peer opened a stream.
  func opened(_ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) {}
  /// A stream's last event has been passed on.
  func released(_ call: CallStream) {}
  /// The peer opens or accepts no streams above this.
  func receivedGoAway(_ code: HTTP2ErrorCode, _ words: [UInt8]) {}
  func receivedSettings() {}
  /// The peer asked whether we are there.
  func receivedPing() {}
  func limitExceeded(_ limit: HTTP2Limit) {}
  /// The peer will send nothing more.
  func peerEnded() {}
  /// The peer speaks TLS and not HTTP/2.
  func lacksHTTP2() { transport.close() }
  /// Last call: every stream has had its end.
  func ended() {}

  func keepaliveReport(now: Instant) -> ConnectionReport.Keepalive { .off }

  // MARK: ConnectionDelegate

  func connectionReady() {
    isFlushAsked = false
    guard transport.isTLS, transport.negotiatedProtocol != "h2" else { return setNeedsFlush() }
    lacksHTTP2()
  }

  final func received(_ bytes: UnsafeRawBufferPointer) {
    lastReceivedAt = reactor.now
    receivedBytes += bytes.count
    var failure: HTTP2FatalError?
    do throws(HTTP2FatalError) {
      try session.receive(bytes, now: reactor.nanoseconds)
    } catch {
      failure = error
    }
    deliverEvents()
    if failure != nil { return transport.close() }
    if session.wantsOutput || session.isFinished { setNeedsFlush() }
  }

  final func willFlush() {
    isFlushAsked = false
    do throws(HTTP2FatalError) {
      while transport.isWritable, let chunk = try session.nextOutput() { transport.write(chunk) }
    } catch {
      deliverEvents()
      return transport.close()
    }
    deliverEvents()
    // To a peer that sends nothing: what is left then waits for windows that it cannot open.
    if session.isFinished || isReadClosed && !session.wantsOutput { transport.closeAfterFlush() }
  }

  final func takeData(_ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer) -> Bool {
    transport.write(header)
    transport.write(payload)
    return transport.isWritable
  }

  final func drained() { setNeedsFlush() }

  final func readClosed() {
    isReadClosed = true
    peerEnded()
  }

  final func closed(_ error: (any Error)?) {
    guard !isClosed else { return }
    isClosed = true
    failure = error
    session.abandonStreams(.internalError)
    deliverEvents()
    ended()
  }

  // MARK: Events

  private func deliverEvents() {
    while let event = session.nextEvent() {
      switch consume event {
      case .headers(let stream, let block):
        if let call = Self.call(of: stream) {
          call.receivedHeaders(block)
        } else if block.kind == .request {
          opened(stream, block)
        }
      case .data(let stream, let bytes):
        if let call = Self.call(of: stream) {
          call.receivedData(bytes)
        } else {
          session.consume(stream, bytes.count)
        }
      case .end(let stream): Self.call(of: stream)?.receivedEnd()
      case .drained(let stream): Self.call(of: stream)?.wakeWriters()
      case .closed(let stream, let code):
        guard let call = Self.call(of: stream) else { break }
        stream.owner = nil
        call.streamClosed(code)
        released(call)
      case .goAway(_, let code, let words): receivedGoAway(code, words)
      case .remoteSettings: receivedSettings()
      case .limit(let limit): limitExceeded(limit)
      case .ping: receivedPing()
      case .pong: break
      }
    }
  }

  /// Every owner of a stream is a `CallStream`: set by `opened` and by the client alone.
  private static func call(of stream: HTTP2Stream) -> CallStream? {
    guard let owner = stream.owner else { return nil }
    return unsafeDowncast(owner, to: CallStream.self)
  }
}

extension Reactor {
  /// The tick's time as HTTP2Session counts it.
  var nanoseconds: UInt64 { UInt64(bitPattern: now.nanoseconds) }
}

extension Duration {
  /// As HTTP2Session counts time; never negative.
  var sessionNanoseconds: UInt64 { UInt64(max(0, wholeNanoseconds)) }
}
