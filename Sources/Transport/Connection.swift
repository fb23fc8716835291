package import EventLoop
package import TLSSession

/// A stream connection on its loop, plain or TLS. Writes are gathered and leave in one write at the end of the tick.
///
/// Owns the descriptor; not Sendable. Whoever holds it keeps within the marks: `isWritable` turns false at the
/// high-water mark, and `drained()` tells when to go on.
package final class Connection {
  package let reactor: Reactor
  package let peer: SocketAddress
  /// Held until `closed`, which breaks the cycle with an owner that holds the connection.
  package var delegate: (any ConnectionDelegate)?

  enum Phase { case connecting, handshaking, open, lingering, closed }

  private let socket: Socket
  private let engine: TLSEngine?
  private let limits: Limits
  // Without the run-time's exclusivity checks: touched on one loop, several times a call; see docs/BENCHMARKS.md.
  @exclusivity(unchecked) private(set) var phase: Phase
  @exclusivity(unchecked) private var output = OutputBuffer()
  private var deadline: Timer?
  private var interest: Interest = []
  private var isReadingPaused = false
  private var isReadClosed = false
  @exclusivity(unchecked) private var isClosingAfterFlush = false
  private var isAboveHighWater = false
  @exclusivity(unchecked) package var isFlushScheduled = false

  package struct Limits: Sendable {
    /// Bytes of waiting output at which `isWritable` turns false; below `lowWater`, `drained()` is called.
    package var highWater = 256 << 10
    package var lowWater = 64 << 10
    /// From accept, or from the end of connect, to the end of the TLS handshake: a peer that dawdles holds a socket.
    package var handshake: Duration = .seconds(10)
    /// How long `closeAfterFlush` waits for a peer that does not take the output, or hardly (`OutputWatch.minRate`).
    package var flush: Duration = .seconds(30)
    /// How long a closed connection still takes what the peer has under way, so that the last answer is not lost to a
    /// reset (RFC 9112, 9.6).
    package var linger: Duration = .seconds(2)
    package init() {}
  }

  /// When a server is about to stop, how long a client that has connected and asked for nothing yet may take: it is amid its
  /// handshake or about to send its first request, and can be told nothing before.
  package static let graceOfDrain = Duration.seconds(1)

  private init(socket: Socket, peer: SocketAddress, engine: TLSEngine?, phase: Phase, limits: Limits, reactor: Reactor)
  {
    self.socket = socket
    self.peer = peer
    self.engine = engine
    self.phase = phase
    self.limits = limits
    self.reactor = reactor
    if peer.family != .unix { socket.disableNagle() }
  }

  /// Begins to connect; `delegate` hears `connectionReady()` or `closed`.
  ///
  /// - Parameter timeout: for connect and TLS handshake together.
  /// - Throws: `SystemError` or `TLSError` when it cannot even begin.
  package static func connect(
    to address: SocketAddress, tls: (context: TLSClientContext, peer: ExpectedPeer)? = nil,
    timeout: Duration = .seconds(20), limits: Limits = Limits(), on reactor: Reactor,
    delegate: any ConnectionDelegate
  ) throws -> Connection {
    let engine = try tls.map { tls in try tls.context.makeEngine(peer: tls.peer) }
    let connection = Connection(
      socket: try Socket.connecting(to: address), peer: address, engine: engine, phase: .connecting, limits: limits,
      reactor: reactor)
    connection.delegate = delegate
    try connection.register(.writable)
    connection.deadline = reactor.schedule(after: timeout) { [unowned connection] in
      connection.end(connection.phase == .connecting ? TransportError.connectTimedOut : .handshakeTimedOut)
    }
    return connection
  }

  /// Takes over an accepted socket. The owner sets `delegate` before the loop's next turn.
  static func accepted(
    _ socket: Socket, peer: SocketAddress, tls: TLSServerContext?, limits: Limits, on reactor: Reactor
  ) throws -> Connection {
    let connection = Connection(
      socket: socket, peer: peer, engine: tls?.makeEngine(), phase: .handshaking, limits: limits, reactor: reactor)
    try connection.register(.readable)
    if tls != nil {
      connection.deadline = reactor.schedule(after: limits.handshake) { [unowned connection] in
        connection.end(TransportError.handshakeTimedOut)
      }
    } else {
      reactor.schedule(at: reactor.now) { connection.becomeOpen() }
    }
    return connection
  }

  private func register(_ interest: Interest) throws {
    self.interest = interest
    do {
      try reactor.register(socket.descriptor, interest, self)
    } catch {
      phase = .closed
      socket.close()
      throw error
    }
  }

  deinit {
    if phase != .closed { socket.close() }
  }

  // MARK: What is known of the peer

  package var local: SocketAddress? { socket.localAddress() }
  package var isTLS: Bool { engine != nil }
  /// Before `connectionReady()`.
  package var isStarting: Bool { phase == .connecting || phase == .handshaking }
  /// What ALPN agreed; nil without TLS, and when the client offered nothing.
  package var negotiatedProtocol: String? { engine?.negotiatedProtocol }
  /// Who the peer proved to be by its certificate. Read from it once, when somebody asks: it stays as it is.
  package var peerIdentity: PeerIdentity? {
    if provenIdentity == nil { provenIdentity = engine?.peerIdentity }
    return provenIdentity
  }
  private var provenIdentity: PeerIdentity?

  // MARK: Writing

  /// Bytes that wait to leave.
  package var bufferedBytes: Int { output.count + (engine?.pendingOutput ?? 0) }
  /// All bytes that the socket has taken.
  @exclusivity(unchecked) package private(set) var sentBytes = 0
  package var isWritable: Bool { phase == .open && bufferedBytes < limits.highWater }
  package var isOpen: Bool { phase == .open && !isClosingAfterFlush }

  /// Takes a copy of `bytes`, to leave at the end of the tick. Ignored once the connection is closing.
  package func write(_ bytes: UnsafeRawBufferPointer) {
    guard phase != .closed, phase != .lingering, !isClosingAfterFlush, !bytes.isEmpty else { return }
    // Memory that is warm: growing into fresh one costs a large message more than its copy.
    if output.outgrows(adding: bytes.count), let spare = reactor.takeSpareBuffer() { output.move(to: spare) }
    output.append(bytes)
    compareWithMarks()
    if !isProducing { setNeedsFlush() }
  }

  package func write(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write($0) } }

  /// Has `willFlush()` called, and the output written, at the end of this tick.
  package func setNeedsFlush() { reactor.setNeedsFlush(self) }

  /// The owner produces output, which is written right after.
  @exclusivity(unchecked) private var isProducing = false

  /// How long a peer may neither acknowledge what was sent nor make room for it: then it is gone without a word, which a
  /// kernel would else find out after a quarter of an hour. Of TCP only; the other end of a Unix socket is on this host.
  package func limitSilence(to time: Duration) {
    if peer.family != .unix { socket.limitSilence(to: time) }
  }

  // MARK: Reading

  /// Stops reading, so that the peer's window fills: back-pressure.
  package func pauseReading() {
    isReadingPaused = true
    updateInterest()
  }

  package func resumeReading() {
    isReadingPaused = false
    updateInterest()
  }

  // MARK: Closing

  /// Writes what waits, ends our side, takes what the peer has under way, then closes.
  package func closeAfterFlush() {
    guard phase != .closed, phase != .lingering else { return }
    guard phase == .open else { return end(nil) }
    guard !isClosingAfterFlush else { return setNeedsFlush() }
    isClosingAfterFlush = true
    limitFlush()
    setNeedsFlush()
  }

  private func limitFlush() {
    let (sent, least) = (sentBytes, Double(OutputWatch.minRate) * (limits.flush / .seconds(1)))
    deadline = reactor.schedule(after: limits.flush) { [unowned self] in
      if Double(sentBytes - sent) < least { end(nil) } else { limitFlush() }
    }
  }

  /// Closes at once; waiting output is dropped.
  package func close() { end(nil) }

  private func end(_ error: (any Error)?) {
    guard phase != .closed else { return }
    phase = .closed
    deadline?.cancel()
    deadline = nil
    reactor.deregister(socket.descriptor)
    socket.close()
    output.removeAll()
    let delegate = self.delegate
    self.delegate = nil
    delegate?.closed(error)
  }

  private func becomeOpen() {
    guard phase == .handshaking || phase == .connecting else { return }
    phase = .open
    deadline?.cancel()
    deadline = nil
    delegate?.connectionReady()
    updateInterest()
  }

  private func updateInterest() {
    guard phase != .closed, phase != .connecting else { return }
    var wanted: Interest = []
    if !isReadClosed && (!isReadingPaused || phase != .open) { wanted.insert(.readable) }
    if hasBlockedOutput { wanted.insert(.writable) }
    guard wanted != interest else { return }
    interest = wanted
    do { try reactor.update(socket.descriptor, wanted) } catch { end(error) }
  }

  /// Set while the socket takes no more.
  private var hasBlockedOutput = false
  private var turn = ReadTurn()
}

// MARK: - The loop's events

extension Connection: ReadinessHandler, Flushable {
  package func ready(_ readiness: Interest) {
    if phase == .connecting { return connectDecided() }
    if readiness.contains(.writable), hasBlockedOutput {
      hasBlockedOutput = false
      flush()
      // The descriptor's number may be another thread's by now.
      if phase == .closed { return }
    }
    if readiness.contains(.readable), interest.contains(.readable) {
      readOnce()
    } else if readiness.contains(.hangup), phase != .closed {
      end(TransportError.hangup)
    }
  }

  private func connectDecided() {
    if let error = socket.connectError(to: peer) { return end(error) }
    phase = .handshaking
    interest = .writable
    if let engine {
      do { try engine.start() } catch { return end(error) }
      flush()
      updateInterest()
    } else {
      becomeOpen()
    }
  }

  private func readOnce() {
    do {
      let buffer = UnsafeMutableRawBufferPointer(rebasing: reactor.readBuffer[..<turn.room])
      guard case .bytes(let count) = try socket.receive(into: buffer) else { return }
      if count == 0 { return try readEnded() }
      if phase == .lingering { return }
      let began: Instant? = ReadTurn.isWorthTiming(count) ? .current() : nil
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      if let engine { try decrypt(bytes, engine) } else { deliver(bytes) }
      if let began { turn.took(.current() - began, for: count) }
    } catch {
      end(error)
    }
  }

  private func decrypt(_ bytes: UnsafeRawBufferPointer, _ engine: TLSEngine) throws {
    // Also when it throws: the alert that tells the peer why lies in the output.
    defer { if engine.pendingOutput > 0, phase != .closed { setNeedsFlush() } }
    do {
      try engine.receive(bytes) { event in
        switch event {
        case .handshakeCompleted: becomeOpen()
        case .plaintext(let text): deliver(text)
        case .peerClosed: peerEnded()
        }
      }
    } catch {
      if phase != .closed { _ = engine.withOutput { (try? socket.send($0)) == nil ? 0 : $0.count } }
      throw error
    }
  }

  private func deliver(_ bytes: UnsafeRawBufferPointer) {
    if phase == .handshaking { becomeOpen() }
    if phase == .open, !isReadClosed { delegate?.received(bytes) }
  }

  private func readEnded() throws {
    if phase == .lingering { return end(nil) }
    if let engine, !isReadClosed { try engine.receiveEnd() }
    peerEnded()
    updateInterest()
  }

  private func peerEnded() {
    guard !isReadClosed else { return }
    isReadClosed = true
    if phase == .handshaking { becomeOpen() }
    delegate?.readClosed()
  }

  package func flush() {
    guard phase != .closed, phase != .connecting else { return }
    if phase == .open {
      isProducing = true
      delegate?.willFlush()
      isProducing = false
    }
    guard phase != .closed, !hasBlockedOutput else { return }
    do {
      try sendOutput()
    } catch {
      return end(error)
    }
    if let spare = output.takeSpare() { reactor.giveSpareBuffer(spare) }
    if isClosingAfterFlush, phase == .open, bufferedBytes == 0 { startLinger() }
    updateInterest()
    compareWithMarks()
  }

  /// Whenever output has come, been encrypted (which adds some), or left: whoever may have found `isWritable` false hears
  /// that it has drained.
  private func compareWithMarks() {
    if bufferedBytes >= limits.highWater {
      isAboveHighWater = true
    } else if isAboveHighWater, bufferedBytes < limits.lowWater {
      isAboveHighWater = false
      delegate?.drained()
    }
  }

  private func sendOutput() throws {
    guard let engine else {
      while !output.isEmpty, !hasBlockedOutput { try output.consume { try send($0) } }
      return
    }
    repeat {
      if phase == .open, !output.isEmpty { try output.consume { try engine.send($0) } }
      if isClosingAfterFlush, output.isEmpty { engine.close() }
      while engine.pendingOutput > 0, !hasBlockedOutput { try engine.withOutput { try send($0) } }
    } while phase == .open && !output.isEmpty && !hasBlockedOutput
  }

  /// What the socket took.
  private func send(_ bytes: UnsafeRawBufferPointer) throws(SystemError) -> Int {
    switch try socket.send(bytes) {
    case .bytes(let count):
      sentBytes += count
      return count
    case .wouldBlock:
      hasBlockedOutput = true
      return 0
    }
  }

  private func startLinger() {
    phase = .lingering
    socket.shutdownWrite()
    if isReadClosed { return end(nil) }
    deadline?.cancel()
    deadline = reactor.schedule(after: limits.linger) { [unowned self] in end(nil) }
  }
}
