import CNghttp2

/// One HTTP/2 connection (RFC 9113) without I/O: bytes and the time go in, events and bytes come out. Not Sendable, and
/// not reentrant: call nothing but the accessors from inside `receive` and `nextOutput` (there is no place to, as nothing
/// calls back). The owner's turn is
/// ```
/// try session.receive(bytes, now: now)
/// while let event = session.nextEvent() { … submit, write, consume … }
/// // at the end of the tick
/// while transport.isWritable, let chunk = try session.nextOutput() { transport.write(chunk) }
/// while let event = session.nextEvent() { … }
/// if session.isFinished { transport.closeAfterFlush() }
/// ```
///
/// Its stored state is exempt from the run-time's exclusivity checks: it is touched on one loop only, and by nothing
/// while it is being changed; the checks were a fifth of an echo call's instructions (docs/BENCHMARKS.md).
package final class HTTP2Session {
  package enum Role: Sendable { case client, server }

  package let role: Role
  package let configuration: HTTP2Configuration
  private let memory: SessionMemory?
  /// The limit that ended the connection, if one did.
  @exclusivity(unchecked) package internal(set) var terminatedBy: HTTP2Limit?
  @exclusivity(unchecked) private var terminatedAt: UInt64?
  /// Nothing leaves any more, or a peer that was told to go does not take the words: close the transport. Set by `check`.
  @exclusivity(unchecked) package private(set) var isAbandoned = false
  /// HEADERS and DATA frames that have left.
  @exclusivity(unchecked) package internal(set) var sentMessageFrames = 0
  @exclusivity(unchecked) var isTerminatedByOwner = false
  /// The peer has sent GOAWAY.
  @exclusivity(unchecked) package internal(set) var receivedGoAway = false
  /// We have sent, or are about to send, GOAWAY.
  @exclusivity(unchecked) package internal(set) var isShuttingDown = false

  // The C session; made at the end of `init`, freed in `deinit`, never nil between.
  @exclusivity(unchecked) private(set) var session: OpaquePointer!
  @exclusivity(unchecked) var guards: FrameGuards
  /// The time of the last `receive`, `nextOutput` or `check`: what callbacks take for "now".
  @exclusivity(unchecked) var now: UInt64
  @exclusivity(unchecked) var live: [HTTP2Stream] = []
  /// Client: requests whose HEADERS have not left, in order.
  @exclusivity(unchecked) var unsent: [HTTP2Stream] = []
  /// Body bytes that wait on all streams.
  @exclusivity(unchecked) package internal(set) var pendingBytes = 0
  @exclusivity(unchecked) var failure: HTTP2FatalError?
  @exclusivity(unchecked) var scratch: [nghttp2_nv] = []
  /// The stream that the last callback looked up, which `live` holds.
  @exclusivity(unchecked) var recent: Unmanaged<HTTP2Stream>?
  @exclusivity(unchecked) var shutdownNoticeAt: UInt64?
  /// The last stream that is taken, as the final GOAWAY says.
  @exclusivity(unchecked) var lastTaken = Int32.max
  @exclusivity(unchecked) var lastOutput: UInt64
  @exclusivity(unchecked) var madeProgress = false
  @exclusivity(unchecked) private var events = EventQueue()
  @exclusivity(unchecked) private var finished: HTTP2Stream?
  @exclusivity(unchecked) private var pool: [HTTP2Stream] = []
  /// Takes large DATA frames without a copy in between; without one they come out of `nextOutput` like the others. It
  /// owns the session.
  package unowned var dataSink: (any HTTP2DataSink)?

  /// - Parameters:
  ///   - memory: what the library allocates from, shared by the sessions of an owner; the system's without it.
  ///   - now: monotonic nanoseconds, from any origin; the same clock in every later call.
  package init(
    role: Role, configuration: HTTP2Configuration = HTTP2Configuration(), memory: SessionMemory? = nil, now: UInt64
  ) {
    self.role = role
    self.configuration = configuration
    self.memory = memory
    self.now = now
    self.lastOutput = now
    self.guards = FrameGuards(configuration, now: now)
    session = Self.makeSession(role, configuration, memory, owner: Unmanaged.passUnretained(self).toOpaque())
    submitInitialSettings()
  }

  deinit { nghttp2_session_del(session) }

  // MARK: Input

  /// Feeds bytes from the transport. Throws when the session is beyond saving: deliver the remaining events, close.
  package func receive(_ bytes: UnsafeRawBufferPointer, now: UInt64) throws(HTTP2FatalError) {
    if let failure { throw failure }
    self.now = now
    guard let base = bytes.baseAddress, bytes.count > 0, terminatedBy == nil else { return }
    let consumed = nghttp2_session_mem_recv(
      session, base.assumingMemoryBound(to: UInt8.self), bytes.count)
    recent = nil
    if consumed < 0 { throw fail(Int32(consumed)) }
    if nghttp2_session_get_outbound_queue_size(session) > configuration.maxOutboundQueue { fire(.outboundQueue) }
    if let limit = terminatedBy { nghttp2_session_terminate_session(session, limit.errorCode.rawValue) }
  }

  /// The next thing that happened. Holding on to a stream after its `closed` event keeps the object from reuse, no more.
  package func nextEvent() -> HTTP2Event? {
    if finished != nil { recycleFinished() }
    guard let event = events.popFirst() else { return nil }
    switch event {
    case .closed(let stream, _):
      releaseWindow(of: stream)
      // Before the owner hears of it, who may open another stream in its place at once.
      removeFromLive(stream)
      finished = stream
    case .pong(Self.shutdownPing) where shutdownNoticeAt != nil:
      finishShutdown()
      return nextEvent()
    default: break
    }
    return event
  }

  /// Gives window back to the peer for bytes that the owner has dealt with.
  package func consume(_ stream: HTTP2Stream, _ count: Int) {
    let count = min(count, stream.unconsumed)
    guard count > 0 else { return }
    stream.unconsumed -= count
    // Fails only on a fatal lack of memory, which the next call reports.
    _ = nghttp2_session_consume(session, stream.id, count)
  }

  /// Reports limits that time alone breaks; call about once a second.
  package func check(now: UInt64) {
    self.now = now
    guard terminatedBy == nil, failure == nil else { return checkTermination() }
    if let limit = guards.overdue(configuration, now: now) ?? overdueBlock() {
      fire(limit)
      nghttp2_session_terminate_session(session, limit.errorCode.rawValue)
      return
    }
    if let noticed = shutdownNoticeAt, now &- noticed > 1_000_000_000 { finishShutdown() }
    if wantsOutput, now &- lastOutput > configuration.stallTimeout, madeProgress == false {
      fire(.writeStall)
      isAbandoned = true
      return
    }
    if !wantsOutput { lastOutput = now }
    madeProgress = false
    if let limit = configuration.windowStallTimeout {
      for stream in live
      where stream.pendingBytes > 0 && stream.outgoing != .idle && now &- stream.progress > limit {
        record(.limit(.windowStall))
        reset(stream, .cancel)
      }
    }
    limitPending()
  }

  /// A section that does not end. One that is refused or passed over has no stream or soon none: nghttp2 tells neither of
  /// its CONTINUATION frames nor of its end, and whoever leaves it unfinished can do nothing more on the connection.
  private func overdueBlock() -> HTTP2Limit? {
    let isOverdue = live.contains { stream in
      stream.blockStarted.map { now &- $0 > configuration.headerTimeout } ?? false
    }
    return isOverdue ? .headerTimeout : nil
  }

  /// A peer that reads gets its GOAWAY at once; one that does not must not keep the connection by it.
  private func checkTermination() {
    guard let since = terminatedAt else {
      terminatedAt = now
      return
    }
    if now &- since > configuration.farewellTimeout { isAbandoned = true }
  }

  // MARK: State

  /// Streams that are open now, in no order; those whose `closed` event has been delivered are not.
  package var streams: [HTTP2Stream] { live }
  package var openStreamCount: Int { live.count }

  /// Nothing more will be read or written: close the transport once its buffer is flushed.
  package var isFinished: Bool {
    failure != nil || (nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0)
  }

  package var wantsOutput: Bool { failure == nil && nghttp2_session_want_write(session) != 0 }

  /// The peer's limit on streams that we open.
  package var remoteMaxConcurrentStreams: Int {
    Int(nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// The largest field section that the peer takes and the library sends, in bytes as `HTTP2FieldList.sectionSize`.
  package var largestSection: Int {
    let announced = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE)
    return announced == .max ? Self.usualSection : min(Int(announced), 64 * 1024)
  }

  /// What peers take that do not say, in bytes: the default of gRPC's implementations.
  private static let usualSection = 8 * 1024

  /// Client: whether a request submitted now goes out at once.
  package var canOpenStream: Bool {
    !isEnding && live.count < remoteMaxConcurrentStreams && nghttp2_session_check_request_allowed(session) != 0
  }

  /// Client: whether it is over, told to go or shutting down.
  package var isEnding: Bool { failure != nil || terminatedBy != nil || receivedGoAway || isShuttingDown }

  // MARK: Shared by the callbacks

  func record(_ event: consuming HTTP2Event) { events.append(event) }

  /// Notes that a connection-level defence fired; the GOAWAY is submitted outside the callbacks.
  func fire(_ limit: HTTP2Limit) {
    guard terminatedBy == nil else { return }
    terminatedBy = limit
    isShuttingDown = true
    record(.limit(limit))
  }

  /// Marks the session as lost and ends every stream.
  func fail(_ code: Int32) -> HTTP2FatalError {
    let error = HTTP2FatalError(libraryCode: code, reason: String(cString: nghttp2_strerror(code)))
    failure = error
    if terminatedBy == nil, code == NGHTTP2_ERR_FLOODED.rawValue || code == Self.tooManyContinuations {
      terminatedBy = code == Self.tooManyContinuations ? .continuations : .outboundQueue
      record(.limit(terminatedBy!))
    }
    noteViolation()
    abandonStreams(.internalError)
    return error
  }

  /// Ends every open stream without a word to the peer: the transport is gone. Deliver the events afterwards; the session
  /// neither takes nor gives bytes any more.
  package func abandonStreams(_ code: HTTP2ErrorCode) {
    failure = failure ?? HTTP2FatalError(libraryCode: 0, reason: "the transport is closed")
    for stream in live where !stream.isClosed {
      nghttp2_session_set_stream_user_data(session, stream.id, nil)
      stream.isClosed = true
      dropPending(of: stream)
      // A request that never left was certainly not processed.
      stream.neverSent = unsent.contains { $0 === stream }
      record(.closed(stream, stream.neverSent ? .refusedStream : code))
    }
    unsent.removeAll()
  }

  func makeStream(id: Int32) -> HTTP2Stream {
    let stream = pool.popLast() ?? HTTP2Stream()
    stream.id = id
    stream.progress = now
    stream.liveIndex = live.count
    live.append(stream)
    return stream
  }

  private func removeFromLive(_ stream: HTTP2Stream) {
    let index = stream.liveIndex
    guard index >= 0 else { return }
    recent = nil
    let last = live.removeLast()
    if last !== stream {
      live[index] = last
      last.liveIndex = index
    }
    stream.liveIndex = -1
  }

  private func recycleFinished() {
    // Taken, not copied: one more reference here would keep every stream out of the pool.
    guard var stream = finished.take() else { return }
    stream.owner = nil
    // Someone who kept the object must not see it become another stream.
    guard pool.count < 64, isKnownUniquelyReferenced(&stream) else { return }
    stream.prepareForReuse()
    pool.append(stream)
  }

  /// What streams that wait for reuse hold, in bytes.
  var pooledBytes: Int { pool.reduce(0) { $0 + $1.heldBytes } }

  /// Bytes that the owner never consumed still fill the connection's window.
  private func releaseWindow(of stream: HTTP2Stream) {
    guard stream.unconsumed > 0, failure == nil else { return }
    _ = nghttp2_session_consume_connection(session, stream.unconsumed)
    stream.unconsumed = 0
  }

  static let shutdownPing: UInt64 = 0x656d_6370_5f65_6e64
  static let tooManyContinuations = NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue
}
