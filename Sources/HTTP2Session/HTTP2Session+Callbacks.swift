import CNghttp2

/// nghttp2's side. The callbacks only record; nothing of the owner's runs inside them.
extension HTTP2Session {
  static func makeSession(
    _ role: Role, _ configuration: HTTP2Configuration, _ memory: SessionMemory?, owner: UnsafeMutableRawPointer
  ) -> OpaquePointer {
    var option: OpaquePointer?
    var session: OpaquePointer?
    guard nghttp2_option_new(&option) == 0 else { fatalError("out of memory") }
    defer { nghttp2_option_del(option) }
    nghttp2_option_set_no_auto_window_update(option, 1)
    nghttp2_option_set_no_closed_streams(option, 1)
    nghttp2_option_set_max_continuations(option, configuration.maxContinuations)
    nghttp2_option_set_max_settings(option, 32)
    // Never reached: it cannot tell resets of answered streams from others, as our own buckets do.
    nghttp2_option_set_stream_reset_rate_limit(option, UInt64(UInt32.max), UInt64(UInt32.max))
    // Peers send such values (RFC 9113 section 8.2.1 forbids it): `receivedField` takes the white space off instead.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1)
    // nghttp2 skips unknown frames without a word; as "ours" they come to the unpack callback and are counted.
    for type in UInt8(NGHTTP2_ALTSVC.rawValue)...UInt8.max {
      nghttp2_option_set_user_recv_extension_type(option, type)
    }
    // Until its SETTINGS arrive, the client assumes what servers commonly allow.
    nghttp2_option_set_peer_max_concurrent_streams(option, 100)
    let make = role == .server ? nghttp2_session_server_new3 : nghttp2_session_client_new3
    let status: Int32
    if var functions = memory?.functions {
      status = make(&session, callbacks.pointer, owner, option, &functions)
    } else {
      status = make(&session, callbacks.pointer, owner, option, nil)
    }
    guard status == 0, let session else { fatalError("out of memory") }
    return session
  }

  func submitInitialSettings() {
    typealias Setting = nghttp2_settings_id
    func entry(_ id: Setting, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    var entries = [
      entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, role == .server ? configuration.maxConcurrentStreams : 0),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(configuration.initialStreamWindow)),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(configuration.maxHeaderListSize)),
    ]
    entries.append(
      role == .server ? entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1) : entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
    nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
    guards.settingsSent = now
    nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, configuration.connectionWindow)
  }

  static func dataProvider(_ stream: HTTP2Stream) -> nghttp2_data_provider {
    nghttp2_data_provider(
      source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque()),
      read_callback: { _, _, buffer, length, flags, source, owner in
        guard let buffer, let flags, let source, let owner else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
        let stream = Unmanaged<HTTP2Stream>.fromOpaque(source.pointee.ptr)
        return HTTP2Session.with(owner) { session in
          stream._withUnsafeGuaranteedRef { session.provideData($0, into: buffer, length, flags) }
        }
      })
  }

  private func provideData(
    _ stream: HTTP2Stream, into buffer: UnsafeMutablePointer<UInt8>, _ length: Int,
    _ flags: UnsafeMutablePointer<UInt32>
  ) -> Int {
    let count = min(length, stream.pendingBytes)
    let left = stream.pendingBytes - count
    stream.trickled &+= count
    if left == 0 || stream.trickled >= Self.leastProgress { stream.progress = now }
    if count >= Self.directPayload, dataSink != nil {
      flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue  // `sendData` takes them at once
    } else {
      takePending(count, of: stream) {
        UnsafeMutableRawPointer(buffer).copyMemory(from: $0.baseAddress!, byteCount: count)
      }
    }
    if stream.drainMark > 0, left < stream.drainMark {
      stream.drainMark = 0
      record(.drained(stream))
    }
    guard left == 0 else { return count }
    switch stream.outgoing {
    case .ending:
      stream.outgoing = .ended
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    case .endingWithTrailers:
      stream.outgoing = .ended
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      let status = stream.trailers.withNameValues(scratch: &scratch) { nameValues, fields in
        nghttp2_submit_trailer(session, stream.id, nameValues, fields)
      }
      if status != 0 { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    case .ended:
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    case .idle, .open:
      guard count > 0 else {
        stream.deferred = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
    }
    return count
  }

  /// Hands a DATA frame over whose payload is what `provideData` has just announced.
  fileprivate func sendData(_ stream: HTTP2Stream, _ header: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
    guard let dataSink else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
    lastOutput = now
    madeProgress = true
    var hasRoom = true
    takePending(length, of: stream) {
      hasRoom = dataSink.takeData(UnsafeRawBufferPointer(start: header, count: Self.frameHeaderLength), $0)
    }
    return hasRoom ? 0 : NGHTTP2_ERR_PAUSE.rawValue
  }

  private static let frameHeaderLength = 9
  /// Bytes that have to leave for a stream not to stand still: a window that is opened by a byte at a time is as good as
  /// closed.
  private static let leastProgress = 1024
  /// Payload, in bytes, from which on a frame goes to the sink: below it the copy costs less than the way around it.
  private static let directPayload = 4096

  func stream(_ id: Int32) -> HTTP2Stream? { borrowedStream(id)?.takeUnretainedValue() }

  /// As `stream`, without a reference of its own, for `_withUnsafeGuaranteedRef`: a call has a dozen of these.
  @inline(__always)
  func borrowedStream(_ id: Int32) -> Unmanaged<HTTP2Stream>? {
    if let recent, recent._withUnsafeGuaranteedRef({ $0.id == id }) { return recent }
    guard let pointer = nghttp2_session_get_stream_user_data(session, id) else { return nil }
    let stream = Unmanaged<HTTP2Stream>.fromOpaque(pointer)
    recent = stream
    return stream
  }
}

/// The callback table; immutable once made, shared by all sessions.
private final class SessionCallbacks: @unchecked Sendable {
  // Unchecked: nghttp2 copies the table when a session is made; it is never written after `init`.
  let pointer: OpaquePointer

  init() {
    var table: OpaquePointer?
    guard nghttp2_session_callbacks_new(&table) == 0, let table else { fatalError("out of memory") }
    pointer = table
    nghttp2_session_callbacks_set_on_begin_frame_callback(table) { _, header, owner in
      HTTP2Session.with(owner) { $0.beganFrame(header!.pointee) }
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(table) { _, frame, owner in
      HTTP2Session.with(owner) { $0.beganHeaders(frame!) }
    }
    nghttp2_session_callbacks_set_on_header_callback(table) {
      _, frame, name, nameLength, value, valueLength, _, owner in
      HTTP2Session.with(owner) { $0.receivedField(frame!, name!, nameLength, value!, valueLength) }
    }
    nghttp2_session_callbacks_set_on_invalid_header_callback(table) { _, _, _, _, _, _, _, _ in
      // Malformed (RFC 9113 section 8.2.1): the stream ends instead of the field being dropped silently.
      NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }
    nghttp2_session_callbacks_set_unpack_extension_callback(table) { _, _, _, _ in
      // Counted when it began; not wanted.
      NGHTTP2_ERR_CANCEL.rawValue
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(table) { _, frame, owner in
      HTTP2Session.with(owner) { $0.receivedFrame(frame!) }
    }
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table) { _, _, code, owner in
      // Counted when its RST_STREAM leaves.
      if code == NGHTTP2_ERR_REFUSED_STREAM.rawValue { return 0 }
      return HTTP2Session.with(owner) { session in
        if !session.guards.invalidFrames.take(now: session.now) { session.fire(.invalidFrames) }
        return 0
      }
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table) { _, _, id, data, length, owner in
      HTTP2Session.with(owner) { $0.receivedData(id, data!, length) }
    }
    nghttp2_session_callbacks_set_send_data_callback(table) { _, _, header, length, source, owner in
      HTTP2Session.with(owner) {
        $0.sendData(
          Unmanaged<HTTP2Stream>.fromOpaque(source!.pointee.ptr).takeUnretainedValue(), header!, length)
      }
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(table) { _, frame, owner in
      HTTP2Session.with(owner) { $0.sentFrame(frame!) }
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table) { _, frame, _, owner in
      HTTP2Session.with(owner) { $0.didNotSend(frame!) }
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(table) { _, id, code, owner in
      HTTP2Session.with(owner) { $0.closedStream(id, HTTP2ErrorCode(rawValue: code)) }
    }
  }
}

private let callbacks = SessionCallbacks()

extension HTTP2Session {
  /// Lends the session to a callback, of which a call has forty. It is held by whoever calls nghttp2, so that no
  /// reference of its own is taken: `takeUnretainedValue()` would count one up and down.
  @inline(__always)
  fileprivate static func with<Result>(_ owner: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Result) -> Result {
    Unmanaged<HTTP2Session>.fromOpaque(owner!)._withUnsafeGuaranteedRef { body($0) }
  }
}
