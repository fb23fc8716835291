import EventLoop
import HTTP2Session
import TLSSession
import Transport
import WireCodec

/// One call on the server: the request as it comes, the handler's task, the answer. Used again for later calls once the
/// handler and the stream are both done with it.
/// State without exclusivity checks: see `CallStream`.
final class ServerCall: CallStream {
  let server: RPCServer
  @exclusivity(unchecked) private(set) var method: ServerMethod!
  @exclusivity(unchecked) private(set) var deadline: Instant?
  /// What the request holds of the memory budget, in bytes.
  @exclusivity(unchecked) private(set) var heldBytes = 0
  @exclusivity(unchecked) private var pace = RequestPace()
  /// Its index among its connection's calls; -1 when it is not one of them.
  @exclusivity(unchecked) var place = -1
  /// Why the handler's task was cancelled, if it was.
  @exclusivity(unchecked) private(set) var cancellation: RPCError?
  /// The client sent what cannot be read: a failure with that is not the server's, though its code says so.
  @exclusivity(unchecked) private(set) var isMalformed = false

  @exclusivity(unchecked) var initialMetadata = Metadata()
  @exclusivity(unchecked) var trailers = Metadata()
  @exclusivity(unchecked) var attachments: [ObjectIdentifier: Any] = [:]

  @exclusivity(unchecked) private var state = ServerCallState(kind: .unary)
  @exclusivity(unchecked) private var worker: HandlerWorker?
  @exclusivity(unchecked) private var timer: Timer?
  @exclusivity(unchecked) private var span: Span?
  @exclusivity(unchecked) private var startedAt = Instant(nanoseconds: 0)
  /// Counted among the calls that the server works on.
  @exclusivity(unchecked) private var isAdmitted = false
  @exclusivity(unchecked) private var begunAt = Instant(nanoseconds: 0)
  /// Interceptors and handler have the call, or had it.
  @exclusivity(unchecked) private var isInvoked = false
  /// Since when it waits for its turn.
  @exclusivity(unchecked) private(set) var queuedAt: Instant?
  @exclusivity(unchecked) private var block: HTTP2HeaderBlock?
  @exclusivity(unchecked) private var parsedMetadata: Metadata?
  @exclusivity(unchecked) private var hasMetadata = false
  @exclusivity(unchecked) private var clientAcceptsGzip = false
  /// The refusal tells which encodings there are.
  @exclusivity(unchecked) private(set) var announcesEncodings = false
  /// What the handler wants; holds if the client accepts it, from the headers on.
  @exclusivity(unchecked) var responseEncoding = MessageEncoding.identity

  init(server: RPCServer) {
    self.server = server
    super.init(reactor: server.reactor)
    highWaterMark = server.configuration.writeHighWaterMark
  }

  override var about: (method: String, startedAt: Instant, deadline: Instant?) {
    (method?.descriptor.fullName ?? "", startedAt, deadline)
  }

  override var gzip: GzipCodec { server.gzip }
  override var compresses: Bool { clientAcceptsGzip && responseEncoding == .gzip }

  var isCancelled: Bool { cancellation != nil }
  var isReleasable: Bool { state.isReleasable }
  var endsOnDrain: Bool { method?.options.endsOnDrain ?? false }

  /// Parsed when somebody asks: most handlers never do.
  var requestMetadata: Metadata {
    if let parsedMetadata { return parsedMetadata }
    let metadata = hasMetadata ? block.map { Metadata($0) } ?? Metadata() : Metadata()
    parsedMetadata = metadata
    return metadata
  }

  // MARK: The request

  /// Takes the request's fields of a stream that has just been opened.
  func begin(_ connection: RPCConnection, _ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) {
    self.connection = connection
    self.stream = stream
    self.block = block
    startedAt = .current()
    state = ServerCallState(kind: .unary)
    do throws(RequestHead.Fault) {
      let head = try RequestHead(block)
      method = server.methods[head.path] ?? server.unknownMethod
      state = ServerCallState(kind: method.descriptor.kind)
      method.metrics.callStarted()
      inbox.limit = method.maxRequestBytes
      inbox.allowsCompressed = head.encoding == .gzip
      hasMetadata = head.metadataCount > 0
      if let tracer = server.tracer {
        span = tracer.start(method.descriptor, .server, parent: block.first("traceparent").flatMap { TraceContext($0) })
      }
      clientAcceptsGzip = head.acceptsGzip
      responseEncoding = server.configuration.responseEncoding
      if let refusal = server.refusal(of: head, method, connection.transport) { return finish(refusal) }
      if let timeout = head.timeout { setDeadline(startedAt + timeout) }
      if state.requestAccepted() == .start { start() }
    } catch {
      method = server.unknownMethod
      method.metrics.callStarted()
      inbound = .ended(nil)
      refuse(error)
    }
  }

  private func refuse(_ fault: RequestHead.Fault) {
    switch fault {
    case .status(let code, let message): finish(RPCError(code, message))
    case .encoding:
      announcesEncodings = true
      finish(RPCError(.unimplemented, "the message encoding is not supported; grpc-accept-encoding says what is"))
    case .http(let status):
      var fields = HTTP2FieldList()
      fields.append(":status", String(status))
      if status == 405 { fields.append("allow", "POST") }
      if let stream, let connection {
        connection.session.submitResponse(stream, fields, endStream: true)
        connection.setNeedsFlush()
      }
      _ = state.finished()
      // The code that gRPC's clients make of such an answer.
      tellRefused(RPCError(StatusCode(httpStatus: status), "answered with HTTP status \(status)"))
      ended(StatusCode(httpStatus: status))
    }
  }

  override func receivedData(_ bytes: UnsafeRawBufferPointer) {
    do throws(RPCError) {
      try receive(bytes)
      account()
    } catch {
      foundMalformed()
      inbound = .failed(error)
      cancelHandler(error)
      finish(error)
    }
  }

  override func foundMalformed() { isMalformed = true }

  override func tookMessage() {
    guard heldBytes > MessageInbox.keptCapacity else { return }
    if case .ended = inbound, inbox.readyCount == 0 { inbox.reset(limit: inbox.limit) }
    account()
  }

  /// Tells the connection what the request holds now.
  private func account() {
    let change = inbox.heldBytes - heldBytes
    guard change != 0, let connection else { return }
    heldBytes += change
    unsafeDowncast(connection, to: ServerConnection.self).requestsHold(change)
  }

  /// Whether the request comes fast enough. Asked about once a second.
  func keepsPace(now: Instant, _ policy: RequestPolicy) -> Bool {
    // The only request of a call is awaited until its end, for its handler is.
    let isAwaited = state.isReceiving && (state.takesOneRequest || inbox.readyCount == 0 && inbox.isMidMessage)
    return pace.check(now: now, received: inbox.arrivedBytes, isAwaited: isAwaited, policy)
  }

  override func receivedEnd() {
    switch state.requestEnded(messages: inbox.readyCount, isMidMessage: inbox.isMidMessage) {
    case .start:
      inbound = .ended(nil)
      start()
    case .endInbox:
      if case .open = inbound { inbound = .ended(nil) }
      wakeReader()
    case .refuse(let cardinality):
      let error = Self.refusal(cardinality)
      foundMalformed()
      failBoth(error)
      cancelHandler(error)
      finish(error)
    case .ignore: break
    }
  }

  private static func refusal(_ cardinality: ServerCallState.RPCCardinality) -> RPCError {
    switch cardinality {
    case .none: RPCError(.unimplemented, "the method takes one request, and none came")
    case .many: RPCError(.unimplemented, "the method takes one request, and several came")
    case .cut: RPCError(.internal, "the request ends inside a message")
    }
  }

  /// The request of a method that takes one; here since the handler was started.
  func onlyRequest<Request: WireMessage>() async throws(RPCError) -> Request {
    guard inbox.readyCount > 0 else { throw RPCError(.internal, "the request is not here") }
    return try await takeFirst()
  }

  // MARK: The handler

  private func start() {
    guard !method.options.bypassesLimits else { return begin() }
    switch server.admission.arrived(isMeasured: method.isMeasured) {
    case .run:
      isAdmitted = true
      begin()
    case .queue:
      queuedAt = reactor.now
      server.queue.append(self)
    case .shed: turnAway()
    }
  }

  private func begin() {
    begunAt = reactor.now
    server.runningHandlers += 1
    server.workers.run(self)
  }

  /// Its turn has come.
  func leaveQueue() {
    queuedAt = nil
    isAdmitted = true
    begin()
  }

  /// The server has too much to do.
  func turnAway() {
    queuedAt = nil
    state.handlerEnded()
    server.turnedAway(method.descriptor)
    let error = server.busy
    failBoth(error)
    finish(error)
  }

  /// Runs the handler and ends the call; in this worker's task.
  func run(in worker: HandlerWorker) async {
    self.worker = worker
    // The time is up, though the loop was too busy for its timer.
    if let deadline, deadline <= .current() { cancelHandler(RPCError(.deadlineExceeded, "the deadline has passed")) }
    // Cancelled before it began: nobody wants the answer.
    if let cancellation { return handlerEnded(cancellation) }
    isInvoked = true
    do {
      if let scope = makeScope() {
        try await CallScope.$current.binding(scope) { try await invoke() }
      } else {
        try await invoke()
      }
      handlerEnded(nil)
    } catch {
      handlerEnded(error)
    }
  }

  private func invoke() async throws {
    if server.interceptors.isEmpty { return try await method.invoke(self) }
    try await invoke(after: 0)
  }

  private func invoke(after index: Int) async throws {
    guard index < server.interceptors.count else { return try await method.invoke(self) }
    try await server.interceptors[index].intercept(ServerContext(call: self)) { try await invoke(after: index + 1) }
  }

  /// What the calls made by the handler inherit; nil when that is nothing.
  private func makeScope() -> CallScope? {
    var metadata = Metadata()
    if hasMetadata, let block {
      for index in 0..<block.count where server.propagates(block.name(index)) {
        _ = metadata.appendReceived(name: block.name(index), value: block.value(index))
      }
    }
    // The trace begins here: what came is of none, or of one whose `traceparent` is malformed.
    if let span, span.parentID == nil, !metadata.isEmpty { metadata.remove(.tracestate) }
    guard deadline != nil || !metadata.isEmpty || span != nil else { return nil }
    return CallScope(deadline: deadline, metadata: metadata, trace: span?.context)
  }

  private func handlerEnded(_ error: (any Error)?) {
    server.runningHandlers -= 1
    state.handlerEnded()
    worker = nil
    if isAdmitted {
      isAdmitted = false
      // What a caller gave up says nothing about what it would have taken.
      let isTelling = method.isMeasured && (cancellation == nil || cancellation?.code == .deadlineExceeded)
      server.admittedCallEnded(isMeasured: method.isMeasured, begunAt: isTelling ? begunAt : nil)
    }
    if let error {
      // A handler that was cancelled usually throws that; the reason for the cancellation says more.
      let outcome = cancellation ?? RPCError(error)
      if outcome.cause != nil, !isMalformed { server.logFailure(outcome, method.descriptor) }
      finish(outcome)
    } else {
      finish(nil)
    }
    releaseIfDone()
    server.handlerEnded()
  }

  private func setDeadline(_ deadline: Instant) {
    self.deadline = deadline
    timer = reactor.schedule(at: deadline) { [unowned self] in
      cancel(RPCError(.deadlineExceeded, "the deadline has passed"))
    }
  }

  /// Ends the call with this status now, and cancels the handler.
  func cancel(_ reason: RPCError) {
    guard !isReleasable else { return }
    cancelHandler(reason)
    finish(reason)
  }

  private func cancelHandler(_ reason: RPCError) {
    if cancellation == nil { cancellation = reason }
    failBoth(reason)
    if queuedAt != nil {
      queuedAt = nil
      state.handlerEnded()
      server.leaveQueue(self)
    }
    worker?.cancel()
  }

  // MARK: The answer

  override func send(_ message: some WireMessage, compress: Bool) {
    sendHeaders()
    super.send(message, compress: compress)
  }

  override func beginSending() { sendHeaders() }

  override func frame(_ message: some WireMessage) -> [UInt8] { server.frames.frame(message) }

  /// The answer of a method that has one: not through the high-water mark, since nothing follows it.
  func sendOnlyMessage(_ message: some WireMessage) async throws(RPCError) {
    if compresses { try await sendCompressed(message) } else { send(message, compress: false) }
  }

  func sendHeaders() {
    guard let stream, let connection, state.responded() == .headersFirst else { return }
    // What the headers have not said cannot be had afterwards.
    if !compresses { clientAcceptsGzip = false }
    if initialMetadata.isEmpty, !clientAcceptsGzip {
      connection.session.submitResponse(stream, server.plainHeaders, endStream: false)
    } else {
      var fields = server.plainHeaders
      if clientAcceptsGzip { fields.append("grpc-encoding", "gzip") }
      initialMetadata.write(to: &fields)
      connection.session.submitResponse(stream, fields, endStream: false)
    }
    connection.setNeedsFlush()
  }

  private func finish(_ error: RPCError?) {
    let action = state.finished()
    guard action != .nothing, let stream, let connection else { return }
    if let error, !isInvoked { tellRefused(error) }
    let session = connection.session
    let error = error.map { server.configuration.completesError?($0) ?? $0 }
    var code = error?.code ?? .ok
    if action == .trailers, error == nil, trailers.isEmpty {
      session.end(stream, trailers: server.okTrailers)
    } else {
      let fields: HTTP2FieldList
      (fields, code) = closing(by: action, error, atMost: session.largestSection)
      if action == .trailersOnly {
        session.submitResponse(stream, fields, endStream: true)
      } else {
        session.end(stream, trailers: fields)
      }
    }
    connection.setNeedsFlush()
    ended(code)
  }

  private func tellRefused(_ error: RPCError) {
    for interceptor in server.interceptors { interceptor.refused(ServerContext(call: self), error) }
  }

  private func ended(_ code: StatusCode) {
    timer?.cancel()
    timer = nil
    isOver = true
    // Nobody reads what still comes.
    if case .open = inbound { inbound = .ended(nil) }
    wakeReader()
    method.metrics.callEnded(
      code, nanoseconds: Instant.current().nanoseconds - startedAt.nanoseconds, sent: sentBytes,
      received: inbox.receivedBytes)
    inbox.reset(limit: 0)
    account()
    if let span {
      self.span = nil
      span.end(code)
    }
  }

  // MARK: The end

  override func streamClosed(_ code: HTTP2ErrorCode) {
    let action = state.streamClosed()
    stream = nil
    block = state.isReleasable ? nil : block
    switch action {
    case .cancelHandler:
      cancelHandler(RPCError(.cancelled, "the client has ended the call"))
      ended(.cancelled)
    case .record: ended(.cancelled)
    case .nothing:
      wakeWriters()
    }
  }

  private func releaseIfDone() {
    guard state.isReleasable else { return }
    (connection as? ServerConnection)?.released(self)
  }

  /// Lets go of what the call had. It stays one that is over: who outlived its handler and still holds it can do no harm.
  func clear() {
    connection = nil
    stream = nil
    block = nil
    parsedMetadata = nil
    hasMetadata = false
    if !initialMetadata.isEmpty { initialMetadata = Metadata() }
    if !trailers.isEmpty { trailers = Metadata() }
    if !attachments.isEmpty { attachments = [:] }
  }

  /// Makes the object, which nobody else holds, ready for another call.
  func prepareForReuse() {
    // Once more: who held it since it was given back may have set something.
    clear()
    announcesEncodings = false
    tookCompressed = false
    deadline = nil
    isInvoked = false
    isMalformed = false
    if cancellation != nil { cancellation = nil }
    inbound = .open
    pace = RequestPace()
    if outboundFailure != nil { outboundFailure = nil }
    isOver = false
    sentBytes = 0
    inbox.receivedBytes = 0
  }
}
