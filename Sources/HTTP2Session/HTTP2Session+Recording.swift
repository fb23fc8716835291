import CNghttp2

/// What each nghttp2 callback writes down. Results are nghttp2's: 0 to go on.
extension HTTP2Session {
  private static let fatal = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  private static let streamFault = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue

  func beganFrame(_ header: nghttp2_frame_hd) -> Int32 {
    switch nghttp2_frame_type(rawValue: UInt32(header.type)) {
    case NGHTTP2_HEADERS:
      guards.blockBytes = header.length
      if role == .server, header.stream_id & 1 == 1, guards.opened.wasSkipped(header.stream_id) {
        fire(.skippedStreamID)
      }
      checkFinished(header.stream_id)
    case NGHTTP2_CONTINUATION:
      guards.blockBytes += header.length
    case NGHTTP2_DATA:
      checkFinished(header.stream_id)
      return 0
    case NGHTTP2_RST_STREAM, NGHTTP2_SETTINGS, NGHTTP2_PUSH_PROMISE, NGHTTP2_PING, NGHTTP2_GOAWAY:
      return 0
    case NGHTTP2_WINDOW_UPDATE:
      if !guards.windowUpdates.take(now: now) { fire(.windowUpdates) }
      return 0
    case NGHTTP2_PRIORITY, NGHTTP2_PRIORITY_UPDATE:
      // Without the old priorities nghttp2 does not look at the frame at all (RFC 9113 section 6.3).
      if header.type == UInt8(NGHTTP2_PRIORITY.rawValue), header.stream_id == 0 { fire(.connectionPriority) }
      if !guards.priorities.take(now: now) { fire(.priorities) }
      return 0
    default:
      if !guards.unknownFrames.take(now: now) { fire(.unknownFrames) }
      return 0
    }
    guard guards.blockBytes <= configuration.maxHeaderBlockBytes else {
      // Not decoded at all: the compression state is lost with it, so the connection ends here.
      fire(.headerBlockBytes)
      return Self.fatal
    }
    return 0
  }

  /// nghttp2 forgets closed streams (by our option: they hold memory) and passes over what comes on them.
  private func checkFinished(_ id: Int32) {
    if role == .server, id & 1 == 1, guards.opened.isFinished(id) { fire(.closedStream) }
  }

  func beganHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    guard terminatedBy == nil else { return 0 }
    let id = frame.pointee.hd.stream_id
    let stream: HTTP2Stream
    if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
      guards.opened.open(id)
      guard id <= lastTaken else {
        nghttp2_submit_rst_stream(
          session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, NGHTTP2_REFUSED_STREAM.rawValue)
        return Self.streamFault
      }
      stream = makeStream(id: id)
      nghttp2_session_set_stream_user_data(session, id, Unmanaged.passUnretained(stream).toOpaque())
      recent = Unmanaged.passUnretained(stream)
    } else {
      guard let known = self.stream(id) else { return 0 }
      stream = known
    }
    stream.blocks += 1
    stream.blockStart = stream.fields.count
    stream.blockSize = 0
    stream.blockRefused = false
    stream.blockStarted = now
    if stream.blocks > configuration.maxHeaderBlocks { return refuseBlock(stream) }
    return 0
  }

  func receivedField(
    _ frame: UnsafePointer<nghttp2_frame>, _ name: UnsafePointer<UInt8>, _ nameLength: Int,
    _ value: UnsafePointer<UInt8>, _ valueLength: Int
  ) -> Int32 {
    guard let stream = borrowedStream(frame.pointee.hd.stream_id) else { return 0 }
    return stream._withUnsafeGuaranteedRef { add(name, nameLength, value, valueLength, to: $0) }
  }

  private func add(
    _ name: UnsafePointer<UInt8>, _ nameLength: Int, _ value: UnsafePointer<UInt8>, _ valueLength: Int,
    to stream: HTTP2Stream
  ) -> Int32 {
    stream.blockSize += nameLength + valueLength + 32
    guard stream.blockSize <= configuration.maxHeaderListSize,
      stream.fields.count - stream.blockStart < configuration.maxHeaderFields
    else { return refuseBlock(stream) }
    // White space around a value is no part of it, as in HTTP/1.1. Where it could matter to how a message is framed or
    // routed (pseudo fields, host, content-length, te) the library has refused it.
    var (value, valueLength) = (value, valueLength)
    while valueLength > 0, Self.isBlank(value[0]) { (value, valueLength) = (value + 1, valueLength - 1) }
    while valueLength > 0, Self.isBlank(value[valueLength - 1]) { valueLength -= 1 }
    let start = stream.arena.append(name, nameLength)
    _ = stream.arena.append(value, valueLength)
    stream.fields.append(
      HTTP2Stream.Field(
        start: UInt32(start), nameLength: UInt32(nameLength), valueLength: UInt32(valueLength)))
    return 0
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

  private func refuseBlock(_ stream: HTTP2Stream) -> Int32 {
    if !stream.blockRefused {
      stream.blockRefused = true
      record(.limit(.headerListSize))
      if !guards.provokedResets.take(now: now) { fire(.provokedResets) }
      stream.resetByOwner = true
      nghttp2_submit_rst_stream(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
    }
    return Self.streamFault
  }

  func receivedFrame(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = frame.pointee.hd
    switch nghttp2_frame_type(rawValue: UInt32(header.type)) {
    case NGHTTP2_HEADERS: receivedHeaders(frame)
    case NGHTTP2_DATA:
      let endStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
      if header.length == 0, !endStream, !guards.emptyData.take(now: now) { fire(.emptyData) }
      if endStream, let stream = stream(header.stream_id) { receivedEnd(stream) }
    case NGHTTP2_RST_STREAM: receivedReset(header.stream_id)
    case NGHTTP2_SETTINGS:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        guards.settingsSent = nil
      } else {
        guards.handshakeStarted = nil
        if !guards.settings.take(now: now) { fire(.settings) }
        record(.remoteSettings)
      }
    case NGHTTP2_PING:
      if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
        let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) {
          UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self))
        }
        record(.pong(payload))
      } else if guards.pings.take(now: now) {
        record(.ping)
      } else {
        fire(.pings)
      }
    case NGHTTP2_GOAWAY:
      receivedGoAway = true
      let goAway = frame.pointee.goaway
      let words = UnsafeBufferPointer(
        start: goAway.opaque_data, count: min(goAway.opaque_data_len, configuration.goAwayWords))
      record(
        .goAway(
          lastStreamID: goAway.last_stream_id, code: HTTP2ErrorCode(rawValue: goAway.error_code), words: Array(words)))
    default: break
    }
    return 0
  }

  private func receivedReset(_ id: Int32) {
    let stream = stream(id)
    stream?.resetByPeer = true
    // To a client each is the end of a request of its own: a server may reset the rest of every upload (section 8.1).
    guard role == .server else { return }
    // Once the answer is complete a reset spares nobody anything.
    let isLate = stream?.localEnded ?? true
    let isFine = isLate ? guards.lateResets.take(now: now) : guards.peerResets.take(now: now)
    if !isFine { fire(.peerResets) }
  }

  private func receivedHeaders(_ frame: UnsafePointer<nghttp2_frame>) {
    guard let stream = stream(frame.pointee.hd.stream_id) else { return }
    stream.blockStarted = nil
    guard !stream.blockRefused, terminatedBy == nil else { return }
    let endStream = frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    let start = stream.blockStart
    let kind: HTTP2HeaderBlock.Kind =
      switch frame.pointee.headers.cat {
      case NGHTTP2_HCAT_REQUEST: .request
      case NGHTTP2_HCAT_RESPONSE: isInformational(stream) ? .informational : .response
      // After an interim response nghttp2 files the final one under HEADERS too.
      default: stream.blockKind == .informational ? (isInformational(stream) ? .informational : .response) : .trailers
      }
    stream.blockKind = kind
    record(
      .headers(
        stream,
        HTTP2HeaderBlock(
          kind: kind, endStream: endStream, stream: stream, start: start, count: stream.fields.count - start)))
    if endStream { receivedEnd(stream) }
  }

  /// Whether the section in progress carries a 1xx status; nghttp2 has checked that `:status` is three digits.
  private func isInformational(_ stream: HTTP2Stream) -> Bool {
    for index in stream.blockStart..<stream.fields.count {
      let (name, value) = stream.bytes(of: stream.fields[index])
      if name.equals(":status") { return value.first == UInt8(ascii: "1") }
    }
    return false
  }

  private func receivedEnd(_ stream: HTTP2Stream) {
    guard !stream.remoteEnded, terminatedBy == nil else { return }
    stream.remoteEnded = true
    record(.end(stream))
  }

  func receivedData(_ id: Int32, _ data: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
    // After a limit has ended the connection no field section is told of, and so no body either.
    guard terminatedBy == nil, let stream = stream(id) else {
      _ = nghttp2_session_consume(session, id, length)
      return 0
    }
    stream.unconsumed += length
    record(.data(stream, UnsafeRawBufferPointer(start: data, count: length)))
    return 0
  }

  func sentFrame(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    let header = frame.pointee.hd
    switch nghttp2_frame_type(rawValue: UInt32(header.type)) {
    case NGHTTP2_HEADERS:
      sentMessageFrames &+= 1
      guards.pings.credit()
      if role == .client, let index = unsent.firstIndex(where: { $0.id == header.stream_id }) {
        unsent.remove(at: index)
      }
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { sentEnd(header.stream_id) }
    case NGHTTP2_DATA:
      sentMessageFrames &+= 1
      guards.pings.credit()
      guards.windowUpdates.credit(2)
      if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 { sentEnd(header.stream_id) }
    case NGHTTP2_RST_STREAM: sentReset(header.stream_id, HTTP2ErrorCode(rawValue: frame.pointee.rst_stream.error_code))
    case NGHTTP2_GOAWAY:
      if frame.pointee.goaway.error_code != NGHTTP2_NO_ERROR.rawValue {
        noteViolation()
      } else if shutdownNoticeAt != nil {
        ping(Self.shutdownPing)
      }
    default: break
    }
    return 0
  }

  private func sentReset(_ id: Int32, _ code: HTTP2ErrorCode) {
    if code == .refusedStream {
      if !guards.refusedStreams.take(now: now) { fire(.refusedStreams) }
    } else if code != .noError, stream(id)?.resetByOwner != true, !guards.provokedResets.take(now: now) {
      fire(.provokedResets)
    }
  }

  /// nghttp2 gave the peer up without a limit of ours or a word of the owner.
  func noteViolation() {
    guard terminatedBy == nil, !isTerminatedByOwner else { return }
    terminatedBy = .protocolViolation
    record(.limit(.protocolViolation))
  }

  /// A complete answer to an incomplete request: the rest of the request is not wanted (RFC 9113 section 8.1).
  private func sentEnd(_ id: Int32) {
    guard let stream = stream(id) else { return }
    stream.localEnded = true
    guard role == .server else { return }
    guards.lateResets.credit()
    guard !stream.remoteEnded, configuration.resetsUnreadRequests else { return }
    stream.resetByOwner = true
    nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, NGHTTP2_NO_ERROR.rawValue)
  }

  func didNotSend(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
    guard frame.pointee.hd.type == UInt8(NGHTTP2_HEADERS.rawValue) else { return 0 }
    if role == .server {
      // Too large for the library: without them the stream would never end.
      if let stream = stream(frame.pointee.hd.stream_id), !stream.resetByOwner { reset(stream, .internalError) }
      return 0
    }
    guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST,
      let index = unsent.firstIndex(where: { $0.id == frame.pointee.hd.stream_id })
    else { return 0 }
    // The stream never came to be: nghttp2 does not close it, so that is said here.
    let stream = unsent.remove(at: index)
    if !stream.isClosed {
      stream.isClosed = true
      stream.neverSent = true
      dropPending(of: stream)
      record(.closed(stream, stream.resetByOwner ? .cancel : .refusedStream))
    }
    return 0
  }

  func closedStream(_ id: Int32, _ code: HTTP2ErrorCode) -> Int32 {
    guard let stream = stream(id) else { return 0 }
    recent = nil
    nghttp2_session_set_stream_user_data(session, id, nil)
    if stream.remoteEnded || stream.resetByPeer { guards.opened.finish(id) }
    guard !stream.isClosed else { return 0 }
    stream.isClosed = true
    dropPending(of: stream)
    record(.closed(stream, code))
    return 0
  }
}
