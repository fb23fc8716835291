public import EventLoop
import DequeModule
import HTTP2Session
public import Logging
import TLSSession
import Transport
import WireCodec

/// A client's way to one target, on one loop: a connection that is made when the first call needs it and made again when
/// it was lost. Not Sendable; a process has one on each loop that calls.
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
  private let security: ChannelSecurity
  private let logger: Logger
  private var interceptors: [any ClientInterceptor] = []

  private var connectivity: Connectivity
  private var connection: ClientConnection?
  /// Connections that take no more calls and still have some.
  private var retired: [ClientConnection] = []
  private var attempt: Connection?
  private var waiting: Deque<ClientCall> = []
  private var lastFailure: RPCError?
  private var timer: Timer?
  private var ticker: Timer?
  private var resolution: Task<Void, any Error>?
  private var metricsByMethod: [ObjectIdentifier: ClientMetrics] = [:]
  private var writer = WireWriter(capacity: 1024)
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
    connectivity = Connectivity(backoff: configuration.backoff)
  }

  deinit { closeConnections() }

  /// Puts an interceptor behind those that are there.
  public func use(_ interceptor: any ClientInterceptor) { interceptors.append(interceptor) }

  /// Whether a connection is open that takes calls.
  public var isReady: Bool { connectivity.state == .ready }

  /// Ends every call with CANCELLED and closes.
  public func close() {
    guard connectivity.state != .closed else { return }
    connectivity.close()
    for call in waiting { call.end(RPCError(.cancelled, "the channel was closed")) }
    waiting.removeAll()
    for connection in retired + (connection.map { [$0] } ?? []) {
      for stream in connection.session.streams {
        (stream.owner as? ClientCall)?.end(RPCError(.cancelled, "the channel was closed"))
      }
    }
    closeConnections()
  }

  private func closeConnections() {
    resolution?.cancel()
    timer?.cancel()
    ticker?.cancel()
    attempt?.close()
    // What the ended calls still have to say, their resets, goes out first.
    connection?.closeInOrder()
    for connection in retired { connection.closeInOrder() }
    connection = nil
    retired = []
  }

  // MARK: Calls

  func makeCall(_ method: MethodDescriptor, _ options: CallOptions) throws(RPCError) -> ClientCall {
    var options = options
    for interceptor in interceptors {
      do { try interceptor.prepare(method, &options) } catch { throw RPCError(error) }
    }
    let scope = CallScope.current
    var deadline = (options.timeout ?? (scope?.deadline == nil ? configuration.defaultTimeout : nil)).map {
      Instant.current() + $0
    }
    if let inherited = scope?.deadline { deadline = min(deadline ?? inherited, inherited) }
    var metadata = options.metadata
    if let inherited = scope?.metadata.entries {
      for entry in inherited where metadata.values(entry.name).isEmpty { metadata.append(entry) }
    }
    let size = metadata.encodedSize
    guard size <= configuration.maxMetadataBytes else {
      throw RPCError(
        .resourceExhausted, "metadata of \(size) bytes is larger than the allowed \(configuration.maxMetadataBytes)")
    }
    if let deadline, deadline <= .current() { throw RPCError(.deadlineExceeded, "the deadline has passed") }
    return ClientCall(channel: self, method: method, options: options, deadline: deadline, metadata: metadata)
  }

  /// Starts a call, or another attempt of it: on the connection, or in the queue for one.
  func submit(_ call: ClientCall) {
    if waiting.isEmpty, let connection, connection.canOpenCall, call.open(on: connection) { return }
    if let connection, connection.isExhausted {
      connection.retire()
      retired(connection)
    }
    switch connectivity.state {
    case .closed: return call.end(RPCError(.unavailable, "the channel is closed"))
    case .backingOff where !call.waitsForReady: return call.end(unavailable)
    default: break
    }
    guard waiting.count < configuration.maxWaitingCalls else {
      return call.end(RPCError(.resourceExhausted, "too many calls wait for \(target)"))
    }
    waiting.append(call)
    perform(connectivity.wanted())
  }

  func leaveQueue(_ call: ClientCall) { waiting.removeAll { $0 === call } }

  func callEnded(_ call: ClientCall, _ error: RPCError?, _ duration: Duration) {
    for interceptor in interceptors { interceptor.ended(call.method, call.options, error, duration) }
  }

  /// Opens streams for calls that wait, in order.
  func streamsFreed() {
    while let connection, connection.canOpenCall, let call = waiting.popFirst() {
      guard !call.open(on: connection) else { continue }
      waiting.prepend(call)
      return
    }
  }

  private var unavailable: RPCError {
    var error = lastFailure ?? RPCError(.unavailable, "")
    error.message = "\(target) cannot be reached" + (error.message.isEmpty ? "" : ": \(error.message)")
    return error
  }

  // MARK: The connection

  private func perform(_ action: Connectivity.Action) {
    switch action {
    case .nothing: break
    case .resolve: resolve()
    case .connect(let address): connect(to: address)
    case .backOff(let delay): backOff(delay)
    }
  }

  private func resolve() {
    switch target.kind {
    case .addresses(let addresses): perform(connectivity.resolved(addresses, random: .random(in: 0..<1)))
    case .name(let host, let port):
      resolution = reactor.spawn { [weak self, reactor] in
        do {
          let addresses = try await reactor.resolve(host: host, port: port)
          self?.resolved(addresses)
        } catch {
          self?.failed(error)
        }
      }
    }
  }

  private func resolved(_ addresses: [SocketAddress]) {
    resolution = nil
    perform(connectivity.resolved(addresses, random: .random(in: 0..<1)))
  }

  private func failed(_ error: (any Error)?) {
    lastFailure = RPCError(.unavailable, error.map { "\($0)" } ?? "the connection was closed", cause: error)
    perform(connectivity.failed(random: .random(in: 0..<1)))
  }

  private func connect(to address: SocketAddress) {
    let attempt = ConnectAttempt(
      ready: { [weak self] in self?.transportReady() },
      failed: { [weak self] error in
        self?.attempt = nil
        self?.failed(error)
      })
    do {
      self.attempt = try Connection.connect(
        to: address, tls: tlsParameters, timeout: configuration.connectTimeout, on: reactor, delegate: attempt)
    } catch {
      failed(error)
    }
  }

  private var tlsParameters: (context: TLSClientContext, peer: ExpectedPeer)? {
    guard case .tls(let context, let peer) = security else { return nil }
    return (context, peer)
  }

  private func transportReady() {
    guard let transport = attempt else { return }
    attempt = nil
    let connection = ClientConnection(transport, channel: self)
    transport.delegate = connection
    self.connection = connection
    connection.connectionReady()
    if ticker == nil { tick() }
  }

  /// The server's SETTINGS are here.
  func connected(_ connection: ClientConnection) {
    guard connection === self.connection else { return }
    connectivity.connected()
    lastFailure = nil
    logger.debug("connected", metadata: ["target": "\(target)", "address": "\(connection.transport.peer)"])
    streamsFreed()
  }

  /// The server takes no more calls on this connection.
  func retired(_ connection: ClientConnection) {
    guard connection === self.connection else { return }
    self.connection = nil
    retired.append(connection)
    lostConnection(nil)
  }

  func ended(_ connection: ClientConnection, _ error: (any Error)?) {
    retired.removeAll { $0 === connection }
    guard connection === self.connection else { return }
    self.connection = nil
    lostConnection(error)
  }

  private func lostConnection(_ error: (any Error)?) {
    if connectivity.state == .ready {
      perform(connectivity.lost(isWanted: !waiting.isEmpty))
    } else {
      failed(error)  // it went before its SETTINGS came: this was a failed attempt
    }
  }

  private func backOff(_ delay: Duration) {
    let error = unavailable
    logger.info(
      "cannot connect", metadata: ["target": "\(target)", "error": "\(error)", "next_attempt_in": "\(delay)"])
    let hasty = waiting.filter { !$0.waitsForReady }
    waiting.removeAll { !$0.waitsForReady }
    timer = reactor.schedule(after: delay) { [weak self] in
      guard let self else { return }
      timer = nil
      perform(connectivity.backoffElapsed(isWanted: !waiting.isEmpty))
    }
    for call in hasty { call.end(error) }
  }

  private func tick() {
    ticker = reactor.schedule(after: .seconds(1)) { [weak self] in
      guard let self else { return }
      connection?.check()
      for connection in retired { connection.check() }
      tick()
    }
  }

  // MARK: What calls need

  func frame(_ message: some WireMessage, gzip: GzipCodec?) -> [UInt8] {
    writer.reset()
    writer.frame(message)
    if let gzip, let compressed = writer.withBytes({ gzip.compress(framed: $0) { [UInt8]($0) } }) { return compressed }
    return writer.bytes
  }

  func metrics(of method: MethodDescriptor) -> ClientMetrics {
    if let known = metricsByMethod[ObjectIdentifier(method)] { return known }
    let metrics = ClientMetrics(method: method.fullName, target: target.description)
    metricsByMethod[ObjectIdentifier(method)] = metrics
    return metrics
  }

  /// The fields of a request that is sent now. Spec: gRPC over HTTP/2, "Requests".
  func requestFields(for call: ClientCall) -> HTTP2FieldList {
    var fields = HTTP2FieldList()
    fields.append(":method", "POST")
    if case .tls = security { fields.append(":scheme", "https") } else { fields.append(":scheme", "http") }
    fields.append(":path", call.method.pathBytes)
    fields.append(":authority", authority)
    fields.append("te", "trailers")
    fields.append("content-type", "application/grpc+proto")
    fields.append("user-agent", configuration.userAgent)
    fields.append("grpc-accept-encoding", MessageEncoding.acceptedText)
    if call.requestEncoding == .gzip { fields.append("grpc-encoding", "gzip") }
    if let deadline = call.deadline { fields.append("grpc-timeout", TimeoutHeader.format(deadline - .current())) }
    call.metadata.write(to: &fields)
    return fields
  }
}
