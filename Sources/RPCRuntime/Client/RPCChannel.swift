public import EventLoop
import DequeModule
import HTTP2Session
public import Logging
import TLSSession
import Transport
import WireCodec

/// A client's way to one target, on one loop: connections that are made when the first call needs them and made again
/// when they were lost. Not Sendable; a process has one on each loop that calls.
///
/// ```swift
/// let channel = RPCChannel(to: try ChannelTarget("dns:///localhost:7000"), on: reactor)
/// let reply = try await channel.call(Greeter.sayHello, HelloRequest { $0.name = "you" })
/// ```
///
/// Calls start whether the target is there or not. While it is away they wait for the first attempts to connect and then
/// fail with UNAVAILABLE, or wait until their deadline with `waitForReady`. A request that the server has certainly not
/// processed (it was stopping) is sent again by itself.
public final class RPCChannel {
  public let target: ChannelTarget
  public let reactor: Reactor
  public let configuration: ChannelConfiguration
  let security: ChannelSecurity
  let logger: Logger
  private var interceptors: [any ClientInterceptor] = []

  var balancer: Balancer
  var picker: Picker
  var schedule: ResolutionSchedule
  var subchannels: [Int: Subchannel] = [:]
  /// The connections that take calls, in the balancer's order.
  var ready: [ClientConnection] = []
  /// Connections that take no more calls and still have some.
  var retired: [ClientConnection] = []
  var waiting: Deque<ClientCall> = []
  /// Calls between two attempts, where neither queue nor connection knows them, and hedged calls.
  private(set) var paused: [ObjectIdentifier: any PausedCall] = [:]
  var lastFailure: RPCError?
  private var stateWaiters: [(old: ChannelState, waiter: Waiter<Void>)] = []
  /// Of the balancer's back-offs, by their key.
  var backoffTimers: [Int: Timer] = [:]
  var staggerTimer: Timer?
  var resolutionTimer: Timer?
  var resolution: Task<Void, any Error>?
  var ticker: Timer?
  /// A call was made since the last look at `idleSince`.
  var isUsed = false
  var idleSince: Instant
  /// The system's resolver; tests put another one here.
  var lookUp: (String, UInt16) async throws -> [SocketAddress]

  /// Calmer than configured once a server found its pings too many.
  private(set) var keepalive: KeepaliveConfiguration?
  var outliers: OutlierDetector?
  /// The budget of retries and hedges.
  @exclusivity(unchecked) var throttle: RetryThrottle
  private var settingsByMethod: [ObjectIdentifier: MethodSettings] = [:]
  let metrics: SubchannelMetrics
  private let limitMetrics: LimitMetrics
  let frames = FrameWriter()
  let sessionMemory = SessionMemory()
  let gzip = GzipCodec()
  private let authority: String

  public init(
    to target: ChannelTarget, security: ChannelSecurity = .plaintext, on reactor: Reactor,
    configuration: ChannelConfiguration = ChannelConfiguration(), logger: Logger = Logger(label: "rpc.client")
  ) {
    self.target = target
    self.security = security
    self.reactor = reactor
    self.configuration = configuration
    self.logger = logger
    authority = configuration.authority ?? target.authority
    let policy = configuration.service.balancing
    balancer = Balancer(
      policy: policy, backoff: configuration.backoff,
      checksHealth: policy.connectsToAll && configuration.service.healthCheckedService != nil)
    picker = Picker(policy: policy, turn: .random(in: 0..<1 << 16))
    schedule = ResolutionSchedule(configuration.resolution)
    throttle = configuration.service.retryThrottle
    keepalive = configuration.keepalive
    metrics = SubchannelMetrics(target: target.uri)
    limitMetrics = LimitMetrics("rpc_client_http2_limits_total", [("grpc_target", target.uri)])
    if policy.connectsToAll {
      outliers = configuration.service.outlierDetection.map { OutlierDetector($0, now: .current()) }
    }
    idleSince = .current()
    lookUp = { [unowned reactor] in try await reactor.resolve(host: $0, port: $1) }
  }

  deinit { closeConnections() }

  /// Puts an interceptor behind those that are there.
  public func use(_ interceptor: any ClientInterceptor) { interceptors.append(interceptor) }

  /// What calls find now.
  public var state: ChannelState { balancer.state }

  /// Waits until the channel's state is another than `state`, and gives that one; after `closed` there is none. Waiting
  /// makes no connection: calls do. What comes and goes between two turns of the loop is not seen.
  ///
  /// ```swift
  /// var state = channel.state
  /// while state != .closed { state = try await channel.state(after: state) }
  /// ```
  ///
  /// - Throws: `CancellationError` when the task is cancelled.
  public func state(after state: ChannelState) async throws -> ChannelState {
    while self.state == state {
      noteState()
      try await reactor.wait { stateWaiters.append((state, $0)) }
    }
    return self.state
  }

  /// Tells those who wait for another state, and forgets those who have stopped.
  func noteState() {
    stateWaiters.removeAll { old, waiter in
      guard old != state || !waiter.isPending else { return false }
      waiter.resume(returning: ())
      return true
    }
  }

  /// Ends every call with CANCELLED and closes.
  public func close() {
    guard balancer.state != .closed else { return }
    balancer.close()
    noteState()
    let closed = RPCError(.cancelled, "the channel was closed")
    // Hedged calls first: their attempts are among the others.
    for call in paused.values { call.end(closed) }
    for call in waiting { call.end(closed) }
    waiting.removeAll()
    for connection in connections {
      for stream in connection.session.streams { (stream.owner as? ClientCall)?.end(closed) }
    }
    closeConnections()
  }

  // MARK: Calls

  func makeCall(_ method: MethodDescriptor, _ options: CallOptions) throws(RPCError) -> ClientCall {
    ClientCall(channel: self, try prepare(method, options))
  }

  func prepare(_ method: MethodDescriptor, _ options: CallOptions) throws(RPCError) -> PreparedCall {
    var options = options
    for interceptor in interceptors {
      do { try interceptor.prepare(method, &options) } catch { throw RPCError(error) }
    }
    let scope = CallScope.current
    var deadline = (options.timeout ?? (scope?.deadline == nil ? configuration.defaultTimeout : nil)).map {
      Instant.current() + $0
    }
    if let inherited = scope?.deadline { deadline = min(deadline ?? inherited, inherited) }
    let settings = settings(of: method)
    if let mistake = settings.mistake { throw mistake }
    if let timeout = settings.configuration.timeout {
      let latest = Instant.current() + timeout
      deadline = min(deadline ?? latest, latest)
    }
    let (metadata, trace) = travelling(options.metadata, in: scope)
    let size = metadata.encodedSize
    guard size <= configuration.maxMetadataBytes else {
      throw RPCError(
        .resourceExhausted, "metadata of \(size) bytes is larger than the allowed \(configuration.maxMetadataBytes)")
    }
    if let deadline, deadline <= .current() { throw RPCError(.deadlineExceeded, "the deadline has passed") }
    return PreparedCall(method: method, options: options, deadline: deadline, metadata: metadata, trace: trace)
  }

  /// What a call says itself, and what its surroundings add to it. A `tracestate` goes only with the `traceparent` that
  /// it came with; when we trace, one that is malformed is ignored with it, and a trace that begins here has none (W3C
  /// Trace Context).
  private func travelling(_ own: Metadata, in scope: CallScope?) -> (metadata: Metadata, trace: TraceContext?) {
    let isTraced = configuration.tracer != nil
    var own = own
    let ownTrace = isTraced ? own.text(.traceparent).flatMap { TraceContext(traceparent: $0) } : nil
    if isTraced, ownTrace == nil, own.text(.traceparent) != nil {
      own.remove(.traceparent)
      own.remove(.tracestate)
    }
    var metadata = own
    for entry in scope?.metadata.entries ?? [] where own.values(entry.name).isEmpty {
      if entry.name == .tracestate, own.text(.traceparent) != nil { continue }
      metadata.append(entry)
    }
    guard isTraced else { return (metadata, nil) }
    // What the call itself says comes first.
    let trace = ownTrace ?? scope?.trace ?? metadata.text(.traceparent).flatMap { TraceContext(traceparent: $0) }
    if trace == nil { metadata.remove(.tracestate) }
    return (metadata, trace)
  }

  /// Starts a call, or another attempt of it: on a connection, or in the queue for one.
  func submit(_ call: ClientCall) {
    guard call.outcome == nil else { return }
    call.beginAttempt()
    isUsed = true
    if waiting.isEmpty, let connection = pick(), call.open(on: connection) { return }
    for connection in ready where connection.isExhausted {
      connection.retire()
      retired(connection, .shutdown)
    }
    switch balancer.state {
    case .closed: return call.end(RPCError(.unavailable, "the channel is closed"))
    case .failing where !call.waitsForReady: return call.attemptFailed(unavailable)
    default: break
    }
    guard waiting.count < configuration.maxWaitingCalls else {
      return call.end(RPCError(.resourceExhausted, "too many calls wait for \(target)"))
    }
    waiting.append(call)
    let actions = balancer.wanted()
    if !actions.isEmpty { perform(actions) }
  }

  func leaveQueue(_ call: ClientCall) {
    if !waiting.isEmpty { waiting.removeAll { $0 === call } }
  }

  func paused(_ call: some PausedCall) { paused[ObjectIdentifier(call)] = call }
  func resumed(_ call: some PausedCall) { paused[ObjectIdentifier(call)] = nil }

  func callEnded(_ call: PreparedCall, _ error: RPCError?, _ duration: Duration) {
    for interceptor in interceptors { interceptor.ended(call.method, call.options, error, duration) }
  }

  /// An attempt has ended on this link.
  func attemptEnded(_ link: Int, _ code: StatusCode) {
    // What was given up says nothing about the server.
    guard outliers != nil, code != .cancelled else { return }
    let failed = OutlierDetection.failures.contains(code)
    guard outliers!.record(link, failed: failed, of: balancer.links.count, now: reactor.now) else { return }
    noteEjections([link])
    settle()
  }

  /// A server does what none should.
  ///
  /// - Parameter isNews: whether the log is to hear of it.
  func limitExceeded(_ limit: HTTP2Limit, by transport: Connection, isNews: Bool) {
    limitMetrics.exceeded(limit)
    guard isNews else { return }
    logger.warning(
      "a server exceeded a limit",
      metadata: ["limit": "\(limit.rawValue)", "target": "\(target)", "address": "\(transport.peer)"])
  }

  func calmKeepalive() { keepalive = keepalive?.calmer }

  /// Opens streams for calls that wait, in order.
  func serveWaiting() {
    while !waiting.isEmpty, let connection = pick(), let call = waiting.popFirst() {
      guard !call.open(on: connection) else { continue }
      waiting.prepend(call)
      return
    }
  }

  /// The connection for the next call; nil when none takes one now.
  private func pick() -> ClientConnection? {
    let count = ready.count
    guard count > 1 else { return count == 1 && ready[0].canOpenCall ? ready[0] : nil }
    let first = picker.next(
      of: count, load: { ready[$0].callCount }, random: { .random(in: 0..<$0) })
    for offset in 0..<count {
      let connection = ready[(first + offset) % count]
      if connection.canOpenCall { return connection }
    }
    return nil
  }

  var unavailable: RPCError {
    var error = lastFailure ?? RPCError(.unavailable, "")
    error.message = "\(target) cannot be reached" + (error.message.isEmpty ? "" : ": \(error.message)")
    return error
  }

  // MARK: What calls need

  func settings(of method: MethodDescriptor) -> MethodSettings {
    if let known = settingsByMethod[ObjectIdentifier(method)] { return known }
    let settings = MethodSettings(method, configuration.service, target: target.uri)
    settingsByMethod[ObjectIdentifier(method)] = settings
    return settings
  }

  /// The fields of a request that is sent now. Spec: gRPC over HTTP/2, "Requests".
  func requestFields(for call: ClientCall) -> HTTP2FieldList {
    var fields = HTTP2FieldList()
    fields.append(":method", "POST")
    if case .tls = security { fields.append(":scheme", "https") } else { fields.append(":scheme", "http") }
    fields.append(":path", call.prepared.method.pathBytes)
    fields.append(":authority", authority)
    fields.append("te", "trailers")
    fields.append("content-type", "application/grpc+proto")
    fields.append("user-agent", configuration.userAgent)
    fields.append("grpc-accept-encoding", MessageEncoding.acceptedText)
    if call.requestEncoding == .gzip { fields.append("grpc-encoding", "gzip") }
    if let deadline = call.prepared.deadline {
      fields.append("grpc-timeout", TimeoutHeader.format(deadline - .current()))
    }
    if call.previousAttempts > 0 { fields.append("grpc-previous-rpc-attempts", String(call.previousAttempts)) }
    if let span = call.span {
      var metadata = call.prepared.metadata
      metadata.remove(.traceparent)
      metadata.write(to: &fields)
      fields.append("traceparent", span.context.traceparent)
    } else {
      call.prepared.metadata.write(to: &fields)
    }
    return fields
  }
}
