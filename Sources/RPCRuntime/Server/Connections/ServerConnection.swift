import EventLoop
import Glibc
import HTTP2Session
import Transport

/// A client's connection to the server.
final class ServerConnection: RPCConnection {
  private let server: RPCServer
  @exclusivity(unchecked) private(set) var calls: [ServerCall] = []
  /// Calls since the connection was opened.
  @exclusivity(unchecked) private(set) var callCount = 0
  @exclusivity(unchecked) private(set) var isDraining = false
  private var strikes = PingStrikes()
  private var keepalive = KeepaliveProbe()
  private var age: ConnectionAge
  /// The limits that the log has named this peer for.
  private var logged: Set<HTTP2Limit> = []
  /// What the requests of its calls hold.
  @exclusivity(unchecked) private(set) var budget: RequestBudget

  init(_ transport: Connection, server: RPCServer) {
    self.server = server
    budget = server.budgetOfConnection
    age = ConnectionAge(now: server.reactor.now, random: .random(in: 0...1), server.configuration.connections)
    super.init(
      transport: transport, role: .server, configuration: server.sessionConfiguration, frames: server.frames,
      memory: server.sessionMemory)
    transport.limitSilence(to: server.configuration.connections.keepaliveTimeout)
  }

  /// GOAWAY in two steps; calls in flight go on, the transport closes after the last. A client amid its handshake hears of
  /// it with the first bytes.
  ///
  /// - Parameter endsStreams: whether calls that a drain ends are ended.
  func drain(endsStreams: Bool = true) {
    if !isDraining {
      isDraining = true
      session.beginShutdown(now: reactor.nanoseconds)
      setNeedsFlush()
    }
    guard endsStreams else { return }
    for call in calls where call.endsOnDrain {
      call.cancel(RPCError(.unavailable, "the server is about to stop"))
    }
  }

  func cancelCalls() {
    for call in calls { call.cancel(RPCError(.unavailable, "the server stops")) }
  }

  /// What time alone brings about; about once a second.
  func upkeep() {
    check()
    guard !isClosed else { return }
    let (now, policy) = (reactor.now, server.configuration.connections)
    if isDraining, transport.isStarting, now - openedAt >= Connection.graceOfDrain { return transport.close() }
    switch age.check(now: now, openCalls: calls.count, allCalls: callCount, policy) {
    case .nothing: break
    case .drain(let reason):
      server.connectionEnding(reason.rawValue)
      drain(endsStreams: false)
    case .close:
      for call in calls { call.cancel(RPCError(.unavailable, "the connection is too old; call again on another")) }
      // What the calls still have to say goes out first, if the client takes it.
      willFlush()
      return transport.closeAfterFlush()
    }
    for call in calls where !call.keepsPace(now: now, server.configuration.requests) {
      limitExceeded(.requestRate)
      call.cancel(RPCError(.deadlineExceeded, "the request comes too slowly"))
    }
    let time = policy.keepaliveTime
    switch keepalive.check(now: now, lastReceived: lastReceivedAt, time: time, timeout: policy.keepaliveTimeout) {
    case .nothing: break
    case .ping:
      session.ping(Self.keepalivePing)
      setNeedsFlush()
    case .close:
      server.connectionEnding("keepalive")
      transport.close()
    }
  }

  /// What our pings carry: any eight bytes.
  private static let keepalivePing: UInt64 = 0x656d_6370_5f70_6e67

  override func keepaliveReport(now: Instant) -> ConnectionReport.Keepalive {
    keepalive.askedAt.map { .asking(now - $0) } ?? .waiting
  }

  override func receivedPing() {
    let isFine = strikes.ping(
      now: reactor.now, sentFrames: session.sentMessageFrames, hasCalls: !calls.isEmpty,
      server.configuration.connections)
    guard !isFine else { return }
    server.connectionEnding("too_many_pings")
    session.terminate(.enhanceYourCalm, reason: "too_many_pings")
    setNeedsFlush()
  }

  /// A client that ends its side while it waits is taken for gone. One that only sends no more gets what is ready, and is
  /// told of the rest.
  override func peerEnded() {
    for call in calls { call.cancel(RPCError(.cancelled, "the client has ended the connection")) }
    setNeedsFlush()
  }

  override func opened(_ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) {
    // Streams that were reset make room for others, handlers that do not heed their cancellation make none. Twice the
    // limit: a client whose calls time out all at once may replace them.
    guard calls.count < 2 * server.configuration.maxConcurrentStreams else {
      limitExceeded(.runningHandlers)
      return reset(stream, .refusedStream)
    }
    let call = server.makeCall()
    call.place = calls.count
    calls.append(call)
    callCount += 1
    stream.owner = call
    call.begin(self, stream, block)
  }

  /// Called when the stream is gone and when the handler has returned; the later of the two gives the call back.
  override func released(_ call: CallStream) {
    let call = unsafeDowncast(call, to: ServerCall.self)
    guard call.isReleasable, call.place >= 0 else { return }
    let last = calls.removeLast()
    if last !== call {
      calls[call.place] = last
      last.place = call.place
    }
    call.place = -1
    server.recycle(call)
  }

  // MARK: What requests hold

  /// A call holds so much more, or less.
  func requestsHold(_ change: Int) {
    budget.change(by: change)
    server.requestsHold(change, on: self)
  }

  /// Refuses the call that gives way.
  ///
  /// - Returns: false when that makes no room.
  func refuseForRoom() -> Bool {
    guard let index = RequestBudget.victim(of: calls.map { ($0.stream?.id ?? 0, $0.heldBytes) }) else { return false }
    let (call, before) = (calls[index], budget.held)
    limitExceeded(.requestBytes)
    server.turnedAway(call.method.descriptor)
    call.cancel(server.busy)
    return budget.held < before
  }

  override func limitExceeded(_ limit: HTTP2Limit) {
    server.limitExceeded(limit, by: transport, isNews: logged.insert(limit).inserted)
  }

  override func ended() {
    if failure as? TransportError == .handshakeTimedOut { limitExceeded(.handshakeTimeout) }
    // The kernel was the first to find that the client takes nothing.
    if (failure as? SystemError)?.number == ETIMEDOUT { limitExceeded(.writeStall) }
    server.connectionEnded(self)
  }
}

extension ServerConnection: AnswerHolder {
  var unsentBytes: Int { session.pendingBytes }

  func dropAnswers(downTo limit: Int) {
    session.resetStalled(downTo: limit)
    setNeedsFlush()
  }
}
