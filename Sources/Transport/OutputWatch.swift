package import EventLoop

/// Tells when a connection's waiting output has not moved for too long: a peer that reads nothing must not keep what it
/// asked for. Looked at now and then, with the tick's time.
package struct OutputWatch {
  private var sentBytes = 0
  private var stalledSince: Instant?

  package init() {}

  package mutating func isStalled(waiting: Int, sent: Int, now: Instant, limit: Duration) -> Bool {
    defer { sentBytes = sent }
    guard waiting > 0, sent == sentBytes else {
      stalledSince = nil
      return false
    }
    guard let since = stalledSince else {
      stalledSince = now
      return false
    }
    return now - since > limit
  }
}
