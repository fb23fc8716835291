import DequeModule
public import EventLoop
import Glibc
import HTTP2Session
public import Logging
public import TLSSession
import Transport

/// A gRPC server on one loop: methods with their handlers, listeners, connections. Not Sendable; a process builds one on
/// each of its loops and lets them listen on the same address (`SO_REUSEPORT` spreads the connections).
///
/// ```swift
/// let server = RPCServer(on: reactor)
/// server.handle(Greeter.sayHello) { request, context in
///   HelloReply { $0.message = "Hello, \(request.name)" }
/// }
/// try await server.listen(on: "127.0.0.1:7000")
/// ```
///
/// A server that listens lives until it is drained.
public final class RPCServer {
  public let reactor: Reactor
  public let configuration: ServerConfiguration
  let logger: Logger

  // What each call looks at has no exclusivity checks, as in `CallStream`.
  @exclusivity(unchecked) private(set) var methods = MethodTable()
  @exclusivity(unchecked) private(set) var interceptors: [any ServerInterceptor] = []
  let unknownMethod: ServerMethod
  /// `:status` and `content-type`, as every answer begins.
  let plainHeaders: HTTP2FieldList
  /// `grpc-status: 0` alone.
  let okTrailers: HTTP2FieldList
  let sessionConfiguration: HTTP2Configuration
  @exclusivity(unchecked) var runningHandlers = 0
  @exclusivity(unchecked) var admission: Admission
  /// Calls that wait for their turn.
  @exclusivity(unchecked) var queue: Deque<ServerCall> = []
  /// What the requests of all connections hold; made when the methods are known.
  @exclusivity(unchecked) private var budget = RequestBudget(limit: 0, largestRequest: 0)
  private(set) var budgetOfConnection = RequestBudget(limit: 0, largestRequest: 0)
  let workers: HandlerWorkers
  let gzip = GzipCodec()
  let frames = FrameWriter()
  let sessionMemory = SessionMemory()
  let tracer: Tracer?
  private let propagatedNames: [[UInt8]]

  private(set) var listeners: [Listener] = []
  private(set) var connections: [ObjectIdentifier: ServerConnection] = [:]
  @exclusivity(unchecked) private var callPool: [ServerCall] = []
  private var ticker: Timer?
  private var drainWaiter: Waiter<Void>?
  private let limitMetrics = LimitMetrics("rpc_http2_limits_total")
  /// When the log last heard that there are too many connections.
  private var fullSince: Instant?
  private let connectionMetrics = ConnectionMetrics()
  private let shedMetrics = ShedMetrics()
  @exclusivity(unchecked) public private(set) var isDraining = false

  public init(
    on reactor: Reactor, configuration: ServerConfiguration = ServerConfiguration(),
    logger: Logger = Logger(label: "rpc.server")
  ) {
    self.reactor = reactor
    self.configuration = configuration
    self.logger = logger
    tracer = configuration.tracer
    admission = Admission(configuration.concurrency)
    workers = HandlerWorkers(on: reactor)
    propagatedNames = configuration.propagatedMetadata.map { Array($0.rawValue.utf8) }
    unknownMethod = ServerMethod(
      MethodDescriptor(service: "other", name: "other", kind: .bidirectional), MethodOptions(), maxRequestBytes: 0,
      metricName: "other")
    var session = HTTP2Configuration()
    session.maxConcurrentStreams = UInt32(clamping: configuration.maxConcurrentStreams)
    session.initialStreamWindow = Int32(clamping: configuration.streamWindowBytes)
    session.connectionWindow = Int32(
      clamping: configuration.connectionWindowBytes
        ?? configuration.streamWindowBytes * configuration.maxConcurrentStreams)
    // Room for the protocol's own fields beside the metadata, so that the metadata's limit can be answered by a status.
    session.maxHeaderListSize = configuration.maxMetadataBytes + 4096
    session.handshakeTimeout = configuration.handshakeTimeout.sessionNanoseconds
    session.settingsTimeout = session.handshakeTimeout
    session.headerTimeout = session.handshakeTimeout
    session.stallTimeout = configuration.stallTimeout.sessionNanoseconds
    session.windowStallTimeout = session.stallTimeout
    session.maxPendingBytes = configuration.maxUnsentBytesPerConnection
    sessionConfiguration = session
    var fields = HTTP2FieldList()
    fields.append(":status", "200")
    fields.append("content-type", "application/grpc+proto")
    plainHeaders = fields
    fields = HTTP2FieldList()
    StatusFields.write(.ok, to: &fields)
    okTrailers = fields
  }

  // MARK: Methods

  /// Registers the handler of a method that takes one request and gives one answer.
  ///
  /// A handler runs in a task of its own on the server's loop. It answers by returning, refuses by throwing `RPCError`;
  /// any other error becomes UNKNOWN without its text. Its task is cancelled when the caller goes or its time is up.
  /// Register before `listen`. Registering a method twice stops the program.
  public func handle<Request, Response>(
    _ method: UnaryMethod<Request, Response>, options: MethodOptions = MethodOptions(),
    _ handler: @escaping (Request, ServerContext) async throws -> Response
  ) {
    register(UnaryServerMethod(method.descriptor, options, maxRequestBytes: limit(options), handler))
  }

  /// Registers the handler of a method that answers with a stream; it ends when the handler returns.
  public func handle<Request, Response>(
    _ method: ServerStreamingMethod<Request, Response>, options: MethodOptions = MethodOptions(),
    _ handler: @escaping (Request, MessageWriter<Response>, ServerContext) async throws -> Void
  ) {
    register(ServerStreamingServerMethod(method.descriptor, options, maxRequestBytes: limit(options), handler))
  }

  /// Registers the handler of a method that takes a stream.
  public func handle<Request, Response>(
    _ method: ClientStreamingMethod<Request, Response>, options: MethodOptions = MethodOptions(),
    _ handler: @escaping (MessageReader<Request>, ServerContext) async throws -> Response
  ) {
    register(ClientStreamingServerMethod(method.descriptor, options, maxRequestBytes: limit(options), handler))
  }

  /// Registers the handler of a method that takes and gives streams.
  public func handle<Request, Response>(
    _ method: BidirectionalMethod<Request, Response>, options: MethodOptions = MethodOptions(),
    _ handler: @escaping (MessageReader<Request>, MessageWriter<Response>, ServerContext) async throws -> Void
  ) {
    register(BidirectionalServerMethod(method.descriptor, options, maxRequestBytes: limit(options), handler))
  }

  /// Puts an interceptor inside those that are there.
  public func use(_ interceptor: any ServerInterceptor) { interceptors.append(interceptor) }

  private func limit(_ options: MethodOptions) -> Int {
    min(options.maxRequestBytes ?? configuration.maxRequestBytes, MessageInbox.largestMessage)
  }

  private func register(_ method: ServerMethod) {
    precondition(methods.insert(method), "\(method.descriptor) is registered already")
  }

  // MARK: Listening

  /// Starts to take connections.
  ///
  /// - Parameters:
  ///   - address: `host:port` (port 0: any that is free) or `unix:PATH`.
  ///   - tls: with it, every connection is TLS with ALPN `h2`; without it, HTTP/2 by prior knowledge (`h2c`).
  /// - Returns: the address that it listens on, with the port that was chosen.
  /// - Throws: `SocketAddressError` for a bad address, `SystemError` when it cannot be bound.
  @discardableResult
  public func listen(on address: String, tls: TLSServerContext? = nil) async throws -> SocketAddress {
    makeBudgets()
    var limits = Connection.Limits()
    limits.handshake = configuration.handshakeTimeout
    let resolved = try await ListenAddress(address).resolve(on: reactor)
    let listener = try Listener(on: reactor, address: resolved, tls: tls, limits: limits) { self.accepted($0) }
    listeners.append(listener)
    if ticker == nil { tick() }
    return listener.address
  }

  private func accepted(_ transport: Connection) {
    guard !isDraining else { return transport.close() }
    guard connections.count < configuration.connections.maxConnections else {
      let isNews = fullSince.map { reactor.now - $0 >= .seconds(1) } ?? true
      if isNews { fullSince = reactor.now }
      limitExceeded(.connections, by: transport, isNews: isNews)
      return transport.close()
    }
    let connection = ServerConnection(transport, server: self)
    transport.delegate = connection
    connections[ObjectIdentifier(connection)] = connection
  }

  private func tick() {
    ticker = reactor.schedule(after: .seconds(1)) { [self] in
      for connection in connections.values { connection.upkeep() }
      limitUnsentBytes(of: Array(connections.values), to: configuration.maxUnsentBytes)
      startQueued()
      tick()
    }
  }

  // MARK: Stopping

  /// Stops gracefully: takes no new connections and calls, waits for the calls in flight at most `limit`, then cancels
  /// what is left and closes.
  public func drain(within limit: Duration) async {
    isDraining = true
    for listener in listeners { listener.close() }
    for connection in connections.values { connection.drain() }
    await waitUntilIdle(atMost: limit)
    if !connections.isEmpty || runningHandlers > 0 {
      for connection in connections.values { connection.cancelCalls() }
      await waitUntilIdle(atMost: configuration.cancellationGrace)
    }
    for connection in connections.values { connection.transport.close() }
    listeners = []
    ticker?.cancel()
    ticker = nil
    callPool = []
    workers.dismiss()
  }

  private var isIdle: Bool { connections.isEmpty && runningHandlers == 0 }

  private func waitUntilIdle(atMost limit: Duration) async {
    guard !isIdle else { return }
    // A cancelled drain goes on to the next step at once: the caller is in a hurry.
    try? await reactor.wait(atMost: limit) { drainWaiter = $0 }
    drainWaiter = nil
  }

  private func wakeDrainIfIdle() {
    if isDraining, isIdle { drainWaiter?.resume(returning: ()) }
  }

  func handlerEnded() { wakeDrainIfIdle() }

  /// The server ends a connection by itself.
  func connectionEnding(_ reason: String) { connectionMetrics.ending(reason) }

  func connectionEnded(_ connection: ServerConnection) {
    connections[ObjectIdentifier(connection)] = nil
    wakeDrainIfIdle()
  }

  // MARK: How many calls at one time

  /// What a call is told that is turned away.
  var busy: RPCError {
    // Spread, so that those who were turned away together do not come back together.
    let delay = configuration.concurrency.maxQueueTime * Double.random(in: 1...2)
    return RPCError(
      .resourceExhausted, "the server has too much to do", details: [ErrorDetail(RetryInfo(retryDelay: delay))])
  }

  func turnedAway(_ method: MethodDescriptor) { shedMetrics.shed(method) }

  /// - Parameter begunAt: when its handler began, if its latency says something.
  func admittedCallEnded(isMeasured: Bool, begunAt: Instant?) {
    var latency: Duration?
    var now = reactor.now
    if admission.adaptive != nil, let begunAt {
      now = .current()
      latency = now - begunAt
    }
    admission.ended(isMeasured: isMeasured, latency: latency, now: now)
    if !queue.isEmpty { startQueued() }
  }

  /// Lets those begin whose turn has come, and turns those away that have waited too long.
  private func startQueued() {
    while let first = queue.first, let since = first.queuedAt,
      reactor.now - since >= configuration.concurrency.maxQueueTime
    {
      queue.removeFirst()
      admission.leftQueue(isShed: true)
      first.turnAway()
    }
    while admission.takeQueued() { queue.removeFirst().leaveQueue() }
  }

  /// A call that waits is given up.
  func leaveQueue(_ call: ServerCall) {
    guard let index = queue.firstIndex(where: { $0 === call }) else { return }
    queue.remove(at: index)
    admission.leftQueue(isShed: false)
  }

  private func makeBudgets() {
    let (policy, largest) = (configuration.requests, methods.methods.map(\.maxRequestBytes).max() ?? 0)
    // With the prefixes, and the beginning of another message behind it.
    let room = largest + configuration.streamWindowBytes
    budget = RequestBudget(limit: policy.maxBufferedBytes, largestRequest: room)
    budgetOfConnection = RequestBudget(limit: policy.maxBufferedBytesPerConnection, largestRequest: room)
  }

  /// The requests of a connection hold so much more, or less.
  func requestsHold(_ change: Int, on connection: ServerConnection) {
    budget.change(by: change)
    guard change > 0, budget.isExceeded || connection.budget.isExceeded else { return }
    while connection.budget.isExceeded, connection.refuseForRoom() {}
    while budget.isExceeded, let greediest = connections.values.max(by: { $0.budget.held < $1.budget.held }),
      greediest.refuseForRoom()
    {}
  }

  // MARK: Calls

  /// Why a call is refused before its handler runs; nil when it is welcome.
  func refusal(of head: RequestHead, _ method: ServerMethod, _ transport: Connection) -> RPCError? {
    if method === unknownMethod {
      return RPCError(.unimplemented, "no such method: \(String(decoding: head.path.prefix(200), as: UTF8.self))")
    }
    if head.metadataSize > configuration.maxMetadataBytes {
      return RPCError(
        .resourceExhausted,
        "metadata of \(head.metadataSize) bytes is larger than the allowed \(configuration.maxMetadataBytes)")
    }
    guard let allowed = method.options.allowedPeers, transport.isTLS else { return nil }
    guard let name = transport.peerIdentity?.spiffeID else {
      return RPCError(.unauthenticated, "the method needs a client certificate")
    }
    return allowed.contains(name) ? nil : RPCError(.permissionDenied, "\(name) may not call \(method.descriptor)")
  }

  /// Whether the calls that a handler makes carry this field of its request.
  func propagates(_ name: UnsafeRawBufferPointer) -> Bool {
    for known in propagatedNames where known.count == name.count {
      if known.withUnsafeBytes({ memcmp($0.baseAddress!, name.baseAddress!, name.count) == 0 }) { return true }
    }
    return false
  }

  /// One of those that were used, unless something that outlived its handler holds it: that would see the next call.
  func makeCall() -> ServerCall {
    while var call = callPool.popLast() {
      guard isKnownUniquelyReferenced(&call) else { continue }
      call.prepareForReuse()
      return call
    }
    return ServerCall(server: self)
  }

  func recycle(_ call: consuming ServerCall) {
    guard callPool.count < 256, !isDraining else { return }
    call.clear()
    callPool.append(call)
  }

  func logFailure(_ error: RPCError, _ method: MethodDescriptor) {
    logger.error("a handler failed", metadata: ["grpc_method": "\(method)", "error": "\(error)"])
  }

  /// - Parameter isNews: whether the log is to hear of it: a flood costs no flood of lines.
  func limitExceeded(_ limit: HTTP2Limit, by transport: Connection, isNews: Bool) {
    limitMetrics.exceeded(limit)
    guard isNews else { return }
    var metadata: Logger.Metadata = ["limit": "\(limit.rawValue)", "peer_address": "\(transport.peer)"]
    if let name = transport.peerIdentity?.spiffeID { metadata["peer"] = "\(name)" }
    logger.info("a peer exceeded a limit", metadata: metadata)
  }
}
