/// What waits on the streams for the peer's windows, counted as it comes and goes.
extension HTTP2Session {
  /// Lends the first `count` pending bytes of a stream and forgets them.
  func takePending(_ count: Int, of stream: HTTP2Stream, _ body: (UnsafeRawBufferPointer) -> Void) {
    pendingBytes -= count
    stream.takePending(count, body)
  }

  func dropPending(of stream: HTTP2Stream) {
    pendingBytes -= stream.pendingBytes
    stream.dropPending()
  }

  /// More waits, or time has passed.
  func limitPending() {
    if let limit = configuration.maxPendingBytes, pendingBytes > limit { resetStalled(downTo: limit) }
  }

  /// Resets what the peer does not take until no more than `limit` bytes wait on all streams or the rest moves: the newest
  /// of those streams that hold at least the mean of it.
  package func resetStalled(downTo limit: Int) {
    var stalled = live.filter { isStalled($0) }.sorted { $0.id > $1.id }
    var sum = stalled.reduce(0) { $0 + $1.pendingBytes }
    while pendingBytes > limit, let index = stalled.firstIndex(where: { $0.pendingBytes * stalled.count >= sum }) {
      let stream = stalled.remove(at: index)
      sum -= stream.pendingBytes
      record(.limit(.responseBytes))
      reset(stream, .enhanceYourCalm)
    }
  }

  /// A window that is shut before anything was sent was never opened; one that is shut later may be about to open.
  private func isStalled(_ stream: HTTP2Stream) -> Bool {
    guard stream.pendingBytes > 0, !stream.isClosed else { return false }
    return now &- stream.progress > Self.stallGrace || !stream.hasMoved && sendWindow(of: stream) <= 0
  }

  /// Nanoseconds without `leastProgress` after which a stream may be called stalled: a slow line with many of them serves
  /// each now and then.
  private static let stallGrace: UInt64 = 5_000_000_000
}
