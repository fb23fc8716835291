import CNghttp2

/// The flow-control windows as they are now, for an operator's eyes.
extension HTTP2Session {
  /// What the peer takes on all streams before it must give more window, in bytes.
  package var sendWindow: Int { Int(nghttp2_session_get_remote_window_size(session)) }

  /// What the peer may send on all streams before we give more window, in bytes.
  package var receiveWindow: Int { Int(nghttp2_session_get_local_window_size(session)) }

  /// Body bytes that wait on all streams.
  package var pendingBytes: Int { live.reduce(0) { $0 + $1.pendingBytes } }

  /// Resets the newest of those streams that hold at least the mean of what the peer does not take.
  ///
  /// - Returns: false when there is none.
  package func resetStalled() -> Bool {
    let stalled = live.filter { isStalled($0) }
    let sum = stalled.reduce(0) { $0 + $1.pendingBytes }
    let larger = stalled.filter { $0.pendingBytes * stalled.count >= sum }
    guard let newest = larger.max(by: { $0.id < $1.id }) else { return false }
    reset(newest, .enhanceYourCalm)
    return true
  }

  /// A window that is shut before anything was sent was never opened; one that is shut later may be about to open.
  private func isStalled(_ stream: HTTP2Stream) -> Bool {
    guard stream.pendingBytes > 0, !stream.isClosed else { return false }
    return now &- stream.progress > Self.stallGrace || stream.pendingHead == 0 && sendWindow(of: stream) <= 0
  }

  /// Nanoseconds without `leastProgress` after which a stream may be called stalled: a slow line with many of them serves
  /// each now and then.
  private static let stallGrace: UInt64 = 5_000_000_000

  /// As ``sendWindow``, of one stream; negative when the stream is closed or has not left.
  package func sendWindow(of stream: HTTP2Stream) -> Int {
    Int(nghttp2_session_get_stream_remote_window_size(session, stream.id))
  }

  /// As ``receiveWindow``, of one stream; negative when the stream is closed or has not left.
  package func receiveWindow(of stream: HTTP2Stream) -> Int {
    Int(nghttp2_session_get_stream_local_window_size(session, stream.id))
  }
}
