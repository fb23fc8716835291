import CNghttp2

/// Submitting only queues; bytes leave through `nextOutput`.
extension HTTP2Session {
  /// Client: opens a stream. `nil` when the session takes no more requests (GOAWAY, ids used up): use another connection.
  /// Above the peer's stream limit the request waits inside the session; see `canOpenStream`.
  package func submitRequest(_ fields: HTTP2FieldList, endStream: Bool, owner: AnyObject?) -> HTTP2Stream? {
    guard !isEnding else { return nil }
    let stream = makeStream(id: 0)
    stream.outgoing = endStream ? .ended : .open
    stream.owner = owner
    let pointer = Unmanaged.passUnretained(stream).toOpaque()
    let id = fields.withNameValues(scratch: &scratch) { nameValues, count in
      guard !endStream else { return nghttp2_submit_request(session, nil, nameValues, count, nil, pointer) }
      var provider = Self.dataProvider(stream)
      return nghttp2_submit_request(session, nil, nameValues, count, &provider, pointer)
    }
    guard id > 0 else {
      live.removeLast()
      return nil
    }
    stream.id = id
    unsent.append(stream)
    return stream
  }

  /// Server: the final response. Body bytes follow by `write` and `end`.
  package func submitResponse(_ stream: HTTP2Stream, _ fields: HTTP2FieldList, endStream: Bool) {
    guard !stream.isClosed, stream.outgoing == .idle else { return }
    stream.outgoing = endStream ? .ended : .open
    stream.progress = now
    _ = fields.withNameValues(scratch: &scratch) { nameValues, count in
      guard !endStream else { return nghttp2_submit_response(session, stream.id, nameValues, count, nil) }
      var provider = Self.dataProvider(stream)
      return nghttp2_submit_response(session, stream.id, nameValues, count, &provider)
    }
  }

  /// Server: an interim (1xx) response.
  package func submitInformational(_ stream: HTTP2Stream, _ fields: HTTP2FieldList) {
    guard !stream.isClosed, stream.outgoing == .idle else { return }
    _ = fields.withNameValues(scratch: &scratch) { nameValues, count in
      nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, nameValues, count, nil)
    }
  }

  /// Queues body bytes. They wait for the peer's window in the stream: watch `pendingBytes`.
  package func write(_ stream: HTTP2Stream, _ bytes: UnsafeRawBufferPointer) {
    guard !stream.isClosed, stream.outgoing == .open || stream.outgoing == .idle, bytes.count > 0 else { return }
    if stream.pendingBytes == 0 { stream.progress = now }
    stream.appendPending(bytes)
    queued(bytes.count, on: stream)
  }

  /// Queues body bytes, without a copy when nothing is pending.
  package func write(_ stream: HTTP2Stream, _ bytes: consuming [UInt8]) {
    guard !stream.isClosed, stream.outgoing == .open || stream.outgoing == .idle, !bytes.isEmpty else { return }
    let count = bytes.count
    if stream.pendingBytes == 0 { stream.progress = now }
    if stream.pendingBytes == 0, count > stream.pending.capacity {
      stream.pending = bytes
      stream.pendingHead = 0
    } else {
      bytes.withUnsafeBytes { stream.appendPending($0) }
    }
    queued(count, on: stream)
  }

  private func queued(_ count: Int, on stream: HTTP2Stream) {
    pendingBytes += count
    resume(stream)
    limitPending()
  }

  /// END_STREAM after what is pending.
  package func end(_ stream: HTTP2Stream) {
    guard !stream.isClosed, stream.outgoing == .open else { return }
    stream.outgoing = .ending
    resume(stream)
  }

  /// A trailer section, with END_STREAM, after what is pending.
  package func end(_ stream: HTTP2Stream, trailers: HTTP2FieldList) {
    guard !trailers.isEmpty else { return end(stream) }
    guard !stream.isClosed, stream.outgoing == .open else { return }
    stream.outgoing = .endingWithTrailers
    stream.trailers = trailers
    resume(stream)
  }

  /// Asks for one `drained` event once fewer than `count` bytes are pending.
  package func notifyWhenPending(_ stream: HTTP2Stream, below count: Int) { stream.drainMark = count }

  /// RST_STREAM. Pending bytes are dropped; the `closed` event follows when the frame has left.
  package func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
    guard !stream.isClosed, failure == nil else { return }
    stream.resetByOwner = true
    stream.outgoing = .ended
    dropPending(of: stream)
    nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
  }

  package func ping(_ payload: UInt64) {
    var opaque = payload.bigEndian
    withUnsafeBytes(of: &opaque) { bytes in
      _ = nghttp2_submit_ping(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Graceful end, two steps (RFC 9113 section 6.8). A server announces GOAWAY(2³¹−1) and a PING; when that returns, or
  /// after a second, the real last stream id follows. Streams in flight finish; then `isFinished`.
  package func beginShutdown(now: UInt64) {
    self.now = now
    guard failure == nil, !isShuttingDown else { return }
    isShuttingDown = true
    guard role == .server else {
      nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, NGHTTP2_NO_ERROR.rawValue, nil, 0)
      return
    }
    shutdownNoticeAt = now
    // Its PING goes once it has left, for the library sends PINGs first: the answer is to say that it has arrived.
    nghttp2_submit_shutdown_notice(session)
  }

  func finishShutdown() {
    guard shutdownNoticeAt != nil else { return }
    shutdownNoticeAt = nil
    // Written down now, and sent who knows when: what comes in between must not be processed either.
    lastTaken = nghttp2_session_get_last_proc_stream_id(session)
    nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), lastTaken, NGHTTP2_NO_ERROR.rawValue, nil, 0)
  }

  /// Final GOAWAY: streams in flight are lost. Flush, then close.
  ///
  /// - Parameter reason: goes with it as debug data.
  package func terminate(_ code: HTTP2ErrorCode, reason: StaticString? = nil) {
    guard failure == nil else { return }
    isShuttingDown = true
    isTerminatedByOwner = true
    shutdownNoticeAt = nil
    if let reason {
      // The library's own closing GOAWAY, which follows, cannot carry a reason.
      nghttp2_submit_goaway(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nghttp2_session_get_last_proc_stream_id(session), code.rawValue,
        reason.utf8Start, reason.utf8CodeUnitCount)
    }
    nghttp2_session_terminate_session(session, code.rawValue)
  }

  /// The next bytes for the transport, valid until the next call on the session; `nil` when there is nothing to send now.
  /// Large DATA frames that come before them go to the `dataSink` meanwhile, if there is one.
  package func nextOutput() throws(HTTP2FatalError) -> UnsafeRawBufferPointer? {
    guard failure == nil else { return nil }
    var data: UnsafePointer<UInt8>?
    var count = nghttp2_session_mem_send(session, &data)
    if count == 0, let limit = terminatedBy {
      // Perhaps met by what has just left, and so not said yet.
      nghttp2_session_terminate_session(session, limit.errorCode.rawValue)
      count = nghttp2_session_mem_send(session, &data)
    }
    if count < 0 { throw fail(Int32(count)) }
    guard count > 0, let data else { return nil }
    lastOutput = now
    madeProgress = true
    return UnsafeRawBufferPointer(start: data, count: count)
  }

  private func resume(_ stream: HTTP2Stream) {
    guard stream.deferred else { return }
    stream.deferred = false
    nghttp2_session_resume_data(session, stream.id)
  }
}
