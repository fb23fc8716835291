/// What happened, in order. Deliver all of them (`HTTP2Session.nextEvent`) after each `receive`, `nextOutput` loop and
/// `check`, before the received bytes go away.
package enum HTTP2Event {
  /// A complete field section.
  case headers(HTTP2Stream, HTTP2HeaderBlock)
  /// Bytes of the body, inside the buffer that was given to `receive`. Call `consume` once they are dealt with.
  case data(HTTP2Stream, UnsafeRawBufferPointer)
  /// The peer's half is complete.
  case end(HTTP2Stream)
  /// Fewer bytes are pending than `notifyWhenPending(below:)` asked for.
  case drained(HTTP2Stream)
  /// The stream's last event. `REFUSED_STREAM` means that the peer has not processed it.
  case closed(HTTP2Stream, HTTP2ErrorCode)
  /// The peer opens or accepts no streams above `lastStreamID`. Of its words no more than `goAwayWords` bytes.
  case goAway(lastStreamID: Int32, code: HTTP2ErrorCode, words: [UInt8])
  /// The peer's SETTINGS are in force; see `remoteMaxConcurrentStreams`.
  case remoteSettings
  /// The peer asks for an answer, which is on its way.
  case ping
  /// The answer to `ping`.
  case pong(UInt64)
  /// A defence fired. For connection-level limits a GOAWAY is queued: flush and close.
  case limit(HTTP2Limit)
}
