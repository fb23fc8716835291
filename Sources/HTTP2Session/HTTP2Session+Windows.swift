import CNghttp2

/// The flow-control windows as they are now, for an operator's eyes.
extension HTTP2Session {
  /// What the peer takes on all streams before it must give more window, in bytes.
  package var sendWindow: Int { Int(nghttp2_session_get_remote_window_size(session)) }

  /// What the peer may send on all streams before we give more window, in bytes.
  package var receiveWindow: Int { Int(nghttp2_session_get_local_window_size(session)) }

  /// As ``sendWindow``, of one stream; negative when the stream is closed or has not left.
  package func sendWindow(of stream: HTTP2Stream) -> Int {
    Int(nghttp2_session_get_stream_remote_window_size(session, stream.id))
  }

  /// As ``receiveWindow``, of one stream; negative when the stream is closed or has not left.
  package func receiveWindow(of stream: HTTP2Stream) -> Int {
    Int(nghttp2_session_get_stream_local_window_size(session, stream.id))
  }
}
