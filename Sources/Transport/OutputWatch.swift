package import EventLoop

/// Tells when a connection's waiting output has hardly moved for too long: a peer that reads nothing, or a byte now and
/// then, must not keep what it asked for. Looked at now and then, with the tick's time.
package struct OutputWatch {
  /// What a peer must take while output waits, in bytes a second: the slowest lines of today bring a hundred times that.
  package static let minRate = 64

  /// Where the time that is judged began, and what was sent by then.
  private var since: Instant?
  private var sentBytes = 0

  package init() {}

  package mutating func isStalled(waiting: Int, sent: Int, now: Instant, limit: Duration) -> Bool {
    guard waiting > 0 else {
      since = nil
      return false
    }
    guard let since else {
      begin(now, sent)
      return false
    }
    let waited = now - since
    if Double(sent - sentBytes) >= Double(Self.minRate) * (limit / .seconds(1)) {
      begin(now, sent)
      return false
    }
    return waited > limit
  }

  private mutating func begin(_ now: Instant, _ sent: Int) {
    since = now
    sentBytes = sent
  }
}
