import EventLoop
import HTTP2Session
import Transport
import WireCodec

/// One call of a client, through all its attempts.
final class ClientCall: CallStream {
  let channel: RPCChannel
  let method: MethodDescriptor
  let options: CallOptions
  let deadline: Instant?
  let waitsForReady: Bool
  let requestEncoding: MessageEncoding
  /// Metadata of the call and of the scope that it is made in.
  let metadata: Metadata
  private let takesOneResponse: Bool
  private let metrics: ClientMetrics

  private(set) var initialMetadata: Metadata?
  private(set) var trailers = Metadata()
  /// Set once the call is over; the error inside is nil for OK.
  private(set) var outcome: (error: RPCError?, Void)?

  private var state = ClientCallState()
  /// Messages before the stream is open, and afterwards while another attempt is possible.
  private var kept: [[UInt8]] = []
  private var keptBytes = 0
  private var canReplay = true
  private var timer: Timer?
  private var headersWaiters: [Waiter<Void>] = []
  private var endWaiter: Waiter<Void>?
  private let startedAt = Instant.current()
  private var attemptStartedAt: Instant?

  init(
    channel: RPCChannel, method: MethodDescriptor, options: CallOptions, deadline: Instant?, metadata: Metadata
  ) {
    self.channel = channel
    self.method = method
    self.options = options
    self.deadline = deadline
    self.metadata = metadata
    waitsForReady = options.waitForReady ?? channel.configuration.waitForReady
    requestEncoding = options.requestEncoding ?? channel.configuration.requestEncoding
    takesOneResponse = method.kind == .unary || method.kind == .clientStreaming
    metrics = channel.metrics(of: method)
    super.init(reactor: channel.reactor)
    highWaterMark = channel.configuration.writeHighWaterMark
    inbox = MessageInbox(limit: options.maxResponseBytes ?? channel.configuration.maxResponseBytes)
    if let deadline {
      timer = reactor.schedule(at: deadline) { [weak self] in
        self?.end(RPCError(.deadlineExceeded, "the deadline has passed"))
      }
    }
  }

  // MARK: The request

  override var gzip: GzipCodec { channel.gzip }
  override var compresses: Bool { requestEncoding == .gzip }

  override func send(_ message: some WireMessage, compress: Bool) {
    guard outcome == nil else { return }
    let frame = channel.frame(message, gzip: compress && compresses ? gzip : nil)
    sentBytes += frame.count
    if let stream, let connection {
      keep(frame)
      connection.write(stream, framed: frame)
    } else {
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
    if stream == nil, outcome == nil { return keptBytes > highWaterMark }
    return super.isWriteBlocked
  }

  /// No message follows.
  func finishWriting() {
    if outboundFailure == nil { outboundFailure = RPCError(.internal, "a message is written after the last one") }
    guard state.requestEnded(), let stream, let connection else { return }
    connection.end(stream)
  }

  /// Gives the call its stream. False when the connection takes none.
  func open(on connection: RPCConnection) -> Bool {
    let fields = channel.requestFields(for: self)
    let endsAtOnce = state.isRequestEnded && kept.isEmpty
    guard let stream = connection.session.submitRequest(fields, endStream: endsAtOnce, owner: self) else {
      return false
    }
    self.stream = stream
    self.connection = connection
    state.opened()
    metrics.attemptStarted()
    attemptStartedAt = .current()
    for frame in kept { connection.write(stream, framed: frame) }
    if kept.count > 1, keptBytes > channel.configuration.replayBytes {
      forgetKept()
      canReplay = false
    }
    if state.isRequestEnded, !endsAtOnce { connection.end(stream) }
    connection.setNeedsFlush()
    wakeWriters()
    return true
  }

  // MARK: The response

  override func receivedHeaders(_ block: HTTP2HeaderBlock) {
    switch block.kind {
    case .informational, .request: return
    case .response:
      commit()
      if let outcome = StatusFields.read(block) {
        initialMetadata = Metadata()
        trailers = Metadata(block)
        return finish(outcome)
      }
      if let fault = Self.fault(in: block) { return end(fault) }
      inbox.allowsCompressed = block.first("grpc-encoding")?.equals("gzip") ?? false
      initialMetadata = Metadata(block)
      wakeHeadersWaiters()
    case .trailers:
      trailers = Metadata(block)
      finish(StatusFields.read(block) ?? .failed(RPCError(.unknown, "the server's trailers have no grpc-status")))
    }
  }

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
    if let encoding = block.first("grpc-encoding"), MessageEncoding(encoding) == nil {
      return RPCError(.internal, "the server compresses in a way that it was not told it may")
    }
    return nil
  }

  override func receivedData(_ bytes: UnsafeRawBufferPointer) {
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
    guard outcome == nil else { return }
    end(RPCError(.internal, "the server ended the stream without a status"))
  }

  private func finish(_ status: StatusFields.Outcome) {
    switch status {
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
    var response = Response()
    guard try takeMessage(into: &response) else {
      throw RPCError(.unimplemented, "the method gives one response, and none came")
    }
    return response
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
    forgetKept()
    if case .open = inbound { inbound = .ended(error) }
    outboundFailure = error ?? RPCError(.cancelled, "the server has ended the call")
    switch state.ended(remoteEnded: stream?.remoteEnded ?? true) {
    case .leaveQueue: channel.leaveQueue(self)
    case .reset: if let stream, let connection { connection.reset(stream, .cancel) }
    case .release, .nothing: break
    }
    attemptEnded(error?.code ?? .ok)
    let duration = Instant.current() - startedAt
    metrics.callEnded(error?.code ?? .ok, duration)
    channel.callEnded(self, error, duration)
    wakeReader()
    wakeWriters()
    wakeHeadersWaiters()
    endWaiter?.resume(returning: ())
    endWaiter = nil
  }

  private func attemptEnded(_ code: StatusCode) {
    guard let attemptStartedAt else { return }
    self.attemptStartedAt = nil
    metrics.attemptEnded(code, .current() - attemptStartedAt, sent: sentBytes, received: receivedBytes)
  }

  override func streamClosed(_ code: HTTP2ErrorCode) {
    let isConnectionLost = connection?.isClosed ?? false
    stream = nil
    connection = nil
    switch state.streamClosed(code, canReplay: canReplay) {
    case .nothing: wakeWriters()
    case .retry:
      attemptEnded(.unavailable)
      channel.submit(self)
    case .fail:
      if isConnectionLost {
        end(RPCError(.unavailable, "the connection was lost"))
      } else {
        end(RPCError(StatusCode(streamReset: code.rawValue), "the server reset the stream with \(code)"))
      }
    }
  }
}
