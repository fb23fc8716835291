import EventLoop
import HTTP2Session
import Transport
import WireCodec

/// One call of a client, through all its attempts.
final class ClientCall: CallStream, PausedCall {
  /// Whose it is. Only of a caller's own the interceptors and the figures of calls hear, and only it is retried.
  enum Role: Equatable {
    case call
    /// One of the parallel attempts of a hedged call.
    case hedge(Int)
    /// Of one connection's health: it means nothing on another one, and its end is no failure of the server.
    case watch
  }

  /// What a caller waits for keeps its channel; a watch does not, and ends with it.
  private let keptChannel: RPCChannel?
  private unowned let watchedChannel: RPCChannel?
  let prepared: PreparedCall
  let waitsForReady: Bool
  let requestEncoding: MessageEncoding
  private let settings: MethodSettings
  private let takesOneResponse: Bool
  private let role: Role
  /// Called once, with the outcome.
  var onEnd: (() -> Void)?

  private(set) var initialMetadata: Metadata?
  private(set) var trailers = Metadata()
  /// Set once the call is over; the error inside is nil for OK.
  private(set) var outcome: (error: RPCError?, Void)?

  /// What the server's last trailers say about another attempt.
  private(set) var pushback = Pushback.none

  private var state = ClientCallState()
  private var retry = RetryState()
  /// Before the next attempt, while the failed one's stream goes.
  private var retryDelay = Duration.zero
  /// Why the attempt was left whose stream goes.
  private var leftFor: RPCError?
  private var retryTimer: Timer?
  /// Messages before the stream is open, and afterwards while another attempt is possible.
  private var kept: [[UInt8]] = []
  private var keptBytes = 0
  private var canReplay: Bool
  private var timer: Timer?
  private var headersWaiters: [Waiter<Void>] = []
  private var endWaiter: Waiter<Void>?
  private let startedAt = Instant.current()
  private var attemptStartedAt: Instant?
  /// The balancer's link that the attempt uses; nil before it has a stream.
  private var link: Int?
  /// Of the attempt that is under way.
  private(set) var span: Span?

  init(channel: RPCChannel, _ prepared: PreparedCall, role: Role = .call) {
    keptChannel = role == .watch ? nil : channel
    watchedChannel = role == .watch ? channel : nil
    self.prepared = prepared
    self.role = role
    canReplay = role != .watch
    settings = channel.settings(of: prepared.method)
    let options = prepared.options
    waitsForReady =
      options.waitForReady ?? settings.configuration.waitForReady ?? channel.configuration.waitForReady
    requestEncoding = options.requestEncoding ?? channel.configuration.requestEncoding
    takesOneResponse = prepared.method.kind == .unary || prepared.method.kind == .clientStreaming
    super.init(reactor: channel.reactor)
    highWaterMark = channel.configuration.writeHighWaterMark
    inbox = MessageInbox(
      limit: min(
        [options.maxResponseBytes, settings.configuration.maxResponseBytes].compactMap { $0 }.min()
          ?? channel.configuration.maxResponseBytes, MessageInbox.largestMessage))
    if let deadline = prepared.deadline {
      timer = reactor.schedule(at: deadline) { [weak self] in self?.timeElapsed() }
    }
  }

  var channel: RPCChannel { keptChannel ?? watchedChannel! }

  /// Sent as `grpc-previous-rpc-attempts`.
  var previousAttempts: Int { if case .hedge(let number) = role { number } else { retry.previousAttempts } }

  // MARK: The request

  override var about: (method: String, startedAt: Instant, deadline: Instant?) {
    (prepared.method.fullName, startedAt, prepared.deadline)
  }

  override var gzip: GzipCodec { channel.gzip }
  override var compresses: Bool { requestEncoding == .gzip }

  override func send(_ message: some WireMessage, compress: Bool) {
    guard outcome == nil else { return }
    let frame = frame(message)
    sendFrame(compress && compresses ? frame.withUnsafeBytes { gzip.compressAtOnce($0) } ?? frame : frame)
  }

  override func frame(_ message: some WireMessage) -> [UInt8] { channel.frames.frame(message) }

  override func sendFrame(_ frame: [UInt8]) {
    guard outcome == nil else { return }
    if let limit = settings.configuration.maxRequestBytes, frame.count - MessageInbox.prefixCount > limit {
      return end(RPCError(.resourceExhausted, "a request is larger than the allowed \(limit) bytes"))
    }
    sentBytes += frame.count - MessageInbox.prefixCount
    if let stream, let connection, state.phase != .leaving {
      keep(frame)
      connection.write(stream, framed: frame)
    } else {
      // Before the first attempt, or for the next one: a stream that is left takes nothing any more.
      kept.append(frame)
      keptBytes += frame.count
    }
  }

  /// Keeps a frame for another attempt as long as one is possible and the frames are not too many.
  private func keep(_ frame: [UInt8]) {
    guard canReplay, !state.isCommitted else { return }
    if keptBytes + frame.count > channel.configuration.replayBytes, !kept.isEmpty {
      forgetKept()
      canReplay = false
    } else {
      kept.append(frame)
      keptBytes += frame.count
    }
  }

  private func forgetKept() {
    kept = []
    keptBytes = 0
  }

  override var isWriteBlocked: Bool {
    if stream == nil || state.phase == .leaving, outcome == nil { return keptBytes > highWaterMark }
    return super.isWriteBlocked
  }

  /// No message follows.
  func finishWriting() {
    if outboundFailure == nil { outboundFailure = RPCError(.internal, "a message is written after the last one") }
    guard state.requestEnded(), let stream, let connection else { return }
    connection.end(stream)
  }

  /// An attempt begins, with the wait for its connection.
  func beginAttempt() {
    link = nil
    attemptStartedAt = .current()
    settings.metrics.attemptStarted()
  }

  /// Gives the call its stream. False when the connection takes none.
  func open(on connection: ClientConnection) -> Bool {
    span = channel.configuration.tracer?.start(prepared.method, .client, parent: prepared.trace)
    span?.attributes["server.address"] = .text(channel.target.authority)
    let fields = channel.requestFields(for: self)
    let endsAtOnce = state.isRequestEnded && kept.isEmpty
    guard let stream = connection.session.submitRequest(fields, endStream: endsAtOnce, owner: self) else {
      return false
    }
    self.stream = stream
    self.connection = connection
    link = connection.link
    state.opened()
    sentBytes = keptBytes - kept.count * MessageInbox.prefixCount
    for frame in kept { connection.write(stream, framed: frame) }
    if kept.count > 1, keptBytes > channel.configuration.replayBytes {
      forgetKept()
      canReplay = false
    }
    if state.isRequestEnded, !endsAtOnce { connection.end(stream) }
    connection.setNeedsFlush()
    connection.callOpened()
    wakeWriters()
    return true
  }

  // MARK: The response

  override func receivedHeaders(_ block: HTTP2HeaderBlock) {
    guard state.phase == .open else { return }
    switch block.kind {
    case .informational, .request: return
    case .response:
      let outcome = StatusFields.read(block)
      pushback = Pushback(block)
      // What is no gRPC response is a proxy's word, and as good as a status alone.
      let failure: RPCError? =
        switch outcome {
        case .ok?: nil
        case .failed(let error)?: error
        case nil: Self.fault(in: block)
        }
      if let failure, repeats(after: failure) { return leave(failure) }
      commit()
      if let outcome {
        initialMetadata = Metadata()
        trailers = Metadata(block)
        return finish(outcome)
      }
      if let failure { return end(failure) }
      guard !block.endStream else { return end(Self.noStatus) }
      if let encoding = block.first("grpc-encoding"), MessageEncoding(encoding) == nil {
        return end(RPCError(.internal, "the server compresses in a way that it was not told it may"))
      }
      inbox.allowsCompressed = block.first("grpc-encoding")?.equals("gzip") ?? false
      let metadata = Metadata(block)
      guard !isTooLarge(metadata) else { return end(Self.tooMuchMetadata) }
      initialMetadata = metadata
      wakeHeadersWaiters()
    case .trailers:
      trailers = Metadata(block)
      finish(StatusFields.read(block) ?? .failed(Self.noStatus))
    }
  }

  private static let noStatus = RPCError(.unknown, "the server's trailers have no grpc-status")

  private func commit() {
    state.responded()
    forgetKept()
  }

  /// Why a response is not gRPC's; nil when it is.
  private static func fault(in block: HTTP2HeaderBlock) -> RPCError? {
    let status = block.first(":status").flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
    guard status == 200 else {
      return RPCError(StatusCode(httpStatus: status), "the server answered with HTTP status \(status)")
    }
    guard let type = block.first("content-type"), RequestHead.isGRPC(type) else {
      return RPCError(.unknown, "the server's answer is not application/grpc")
    }
    return nil
  }

  override func receivedData(_ bytes: UnsafeRawBufferPointer) {
    guard state.phase == .open else { return giveBack(bytes.count) }
    do throws(RPCError) {
      guard initialMetadata != nil else { throw RPCError(.internal, "the server sent data before its headers") }
      try receive(bytes)
      if takesOneResponse, inbox.readyCount > 1 {
        throw RPCError(.unimplemented, "the method gives one response, and several came")
      }
    } catch {
      end(error)
    }
  }

  override func receivedEnd() {
    guard outcome == nil, state.phase == .open else { return }
    end(RPCError(.internal, "the server ended the stream without a status"))
  }

  private func isTooLarge(_ metadata: Metadata) -> Bool {
    metadata.encodedSize > channel.configuration.maxMetadataBytes
  }

  private static let tooMuchMetadata = RPCError(.resourceExhausted, "the response's metadata are larger than allowed")

  /// A failure keeps its code where its metadata are too large.
  private func finish(_ status: StatusFields.Outcome) {
    let isTooLarge = isTooLarge(trailers)
    if isTooLarge { trailers = Metadata() }
    switch status {
    case .ok where isTooLarge: end(Self.tooMuchMetadata)
    case .ok:
      guard !inbox.isMidMessage else { return end(RPCError(.internal, "the response ends inside a message")) }
      conclude(nil)
    case .failed(var error):
      error.trailers = trailers
      conclude(error)
    }
  }

  /// The only response of a call that has one, when the call has ended.
  func onlyResponse<Response: WireMessage>() async throws(RPCError) -> Response {
    if outcome == nil {
      do {
        try await reactor.wait { endWaiter = $0 }
      } catch {
        endWaiter = nil
        throw readInterrupted(by: error)
      }
    }
    if let error = outcome?.error { throw error }
    guard inbox.readyCount > 0 else { throw RPCError(.unimplemented, "the method gives one response, and none came") }
    return try await takeFirst()
  }

  /// Waits for the server's initial metadata.
  func headers() async throws(RPCError) -> Metadata {
    while initialMetadata == nil, outcome == nil {
      do {
        try await reactor.wait { headersWaiters.append($0) }
      } catch {
        headersWaiters.removeAll { !$0.isPending }
        throw readInterrupted(by: error)
      }
    }
    if initialMetadata == nil, let error = outcome?.error { throw error }
    return initialMetadata ?? Metadata()
  }

  private func wakeHeadersWaiters() {
    let woken = headersWaiters
    headersWaiters = []
    for waiter in woken { waiter.resume(returning: ()) }
  }

  // MARK: The end

  /// The call ends here and now: cancelled, out of time, or by the server's fault.
  func end(_ error: RPCError) {
    guard outcome == nil else { return }
    inbound = .failed(error)
    conclude(error)
  }

  /// A call that waits for its server tells what it waits for.
  private func timeElapsed() {
    let isAway = stream == nil && channel.state != .ready && channel.lastFailure != nil
    let waited = isAway ? ": \(channel.unavailable.message)" : ""
    end(RPCError(.deadlineExceeded, "the deadline has passed\(waited)"))
  }

  /// The task that works on the call was cancelled: so is the call.
  override func readInterrupted(by error: any Error) -> RPCError {
    if let error = outcome?.error { return error }
    let cancelled = RPCError(.cancelled, "the call was cancelled", cause: error)
    end(cancelled)
    return cancelled
  }

  override func writeInterrupted(by error: any Error) -> RPCError { readInterrupted(by: error) }

  private func conclude(_ error: RPCError?) {
    guard outcome == nil else { return }
    outcome = (error, ())
    timer?.cancel()
    timer = nil
    endPause()
    forgetKept()
    if case .open = inbound { inbound = .ended(error) }
    outboundFailure = error ?? RPCError(.cancelled, "the server has ended the call")
    switch state.ended(isComplete: isStreamComplete) {
    case .leaveQueue: channel.leaveQueue(self)
    case .reset: if let stream, let connection { connection.reset(stream, .cancel) }
    case .release, .nothing: break
    }
    attemptEnded(error?.code ?? .ok)
    if error == nil { channel.throttle.succeeded() }
    if role == .call {
      let duration = Instant.current() - startedAt
      settings.metrics.callEnded(error?.code ?? .ok, duration, retries: retry.previousAttempts)
      channel.callEnded(prepared, error, duration)
    }
    wakeReader()
    wakeWriters()
    wakeHeadersWaiters()
    endWaiter?.resume(returning: ())
    endWaiter = nil
    let onEnd = self.onEnd
    self.onEnd = nil
    onEnd?()
  }

  private var isStreamComplete: Bool { stream.map { $0.remoteEnded && $0.localEnded } ?? true }

  private func attemptEnded(_ code: StatusCode, countsForServer: Bool = true) {
    guard let attemptStartedAt else { return }
    self.attemptStartedAt = nil
    span?.end(code)
    span = nil
    if let link, role != .watch, countsForServer { channel.attemptEnded(link, code) }
    settings.metrics.attemptEnded(
      code, .current() - attemptStartedAt, sent: link == nil ? 0 : sentBytes, received: inbox.receivedBytes)
  }

  override func streamClosed(_ code: HTTP2ErrorCode) {
    let lostConnection = connection.flatMap { $0.isClosed ? $0 as? ClientConnection : nil }
    let (neverSent, isReset) = (stream?.neverSent ?? false, stream?.resetByPeer ?? false)
    stream = nil
    connection = nil
    switch state.streamClosed(code, neverSent: neverSent, canReplay: canReplay) {
    case .nothing: wakeWriters()
    case .reopen:
      // A server that goes in order has not failed.
      attemptEnded(.unavailable, countsForServer: false)
      settings.metrics.transparentRetry()
      channel.submit(self)
    case .left: scheduleRetry()
    case .fail: attemptFailed(leftFor ?? lostConnection.map(Self.lost) ?? closed(with: code, byServer: isReset))
    }
    leftFor = nil
  }

  private static func lost(_ connection: ClientConnection) -> RPCError {
    let reason = connection.endReason.map { ": \($0)" } ?? ""
    return RPCError(.unavailable, "the connection to \(connection.transport.peer) was lost\(reason)")
  }

  /// - Parameter byServer: else we have, for what it sent.
  private func closed(with code: HTTP2ErrorCode, byServer: Bool) -> RPCError {
    let timeLeft = prepared.deadline.map { $0 - .current() }
    let reason =
      switch code {
      case _ where byServer: "the server reset the stream with \(code)"
      case .refusedStream: "the server's GOAWAY leaves the call out"
      case .enhanceYourCalm: Self.tooMuchMetadata.message
      default: "the server's answer breaks HTTP/2's rules (\(code))"
      }
    return RPCError(StatusCode(streamReset: code.rawValue, timeLeft: timeLeft), reason)
  }

  // MARK: Another attempt

  /// An attempt has failed whose stream is gone, or never was. The call fails with it, or goes on.
  func attemptFailed(_ error: RPCError) {
    pushback = .none
    guard repeats(after: error) else { return end(error) }
    attemptEnded(error.code)
    scheduleRetry()
  }

  /// Whether another attempt follows; it is counted then.
  private func repeats(after error: RPCError) -> Bool {
    guard outcome == nil, canReplay, !state.isCommitted, let policy = settings.retry,
      let delay = retry.next(
        after: error.code, pushback, timeLeft: prepared.deadline.map { $0 - .current() }, policy: policy,
        throttle: &channel.throttle, random: .random(in: 0..<1))
    else { return false }
    retryDelay = delay
    return true
  }

  /// Gives up an attempt whose stream is still there.
  private func leave(_ error: RPCError) {
    attemptEnded(error.code)
    leftFor = error
    guard state.leave(isComplete: isStreamComplete), let stream, let connection else { return }
    connection.reset(stream, .cancel)
  }

  private func scheduleRetry() {
    channel.paused(self)
    retryTimer = reactor.schedule(after: retryDelay) { [weak self] in
      guard let self else { return }
      endPause()
      channel.submit(self)
    }
  }

  private func endPause() {
    guard let timer = retryTimer else { return }
    timer.cancel()
    retryTimer = nil
    channel.resumed(self)
  }
}
