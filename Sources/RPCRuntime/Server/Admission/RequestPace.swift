import EventLoop

/// Whether a request comes fast enough, as a value. Asked about once a second; only time in which the server waits for
/// bytes counts.
struct RequestPace: Equatable {
  private var since: Instant?
  private var bytes = 0

  /// - Parameters:
  ///   - received: bytes of the call up to now.
  ///   - isAwaited: whether the server waits for more of a message.
  /// - Returns: false when a whole window has brought too little.
  mutating func check(now: Instant, received: Int, isAwaited: Bool, _ policy: RequestPolicy) -> Bool {
    guard isAwaited else {
      since = nil
      return true
    }
    guard let since else {
      begin(now, received)
      return true
    }
    let waited = now - since
    guard waited >= policy.rateWindow else { return true }
    defer { begin(now, received) }
    return Double(received - bytes) >= Double(policy.minRate) * (waited / .seconds(1))
  }

  private mutating func begin(_ now: Instant, _ received: Int) {
    since = now
    bytes = received
  }
}
