import EventLoop

/// Counts the pings of a client that come too fast, as a value.
///
/// Spec: gRPC A8, "Server Enforcement".
struct PingStrikes: Equatable {
  private var lastPing: Instant?
  private var strikes = 0
  /// The frames that the server had sent at the last ping.
  private var sentFrames = 0

  /// So many are forgiven.
  static let allowed = 2
  /// Between pings of a client that has no call and may not ping then.
  static let idleInterval = Duration.seconds(7200)

  /// A ping has come.
  ///
  /// - Parameter sentFrames: HEADERS and DATA frames that the server has sent on the connection up to now.
  /// - Returns: false when the connection is to be ended; said once.
  mutating func ping(now: Instant, sentFrames: Int, hasCalls: Bool, _ policy: ConnectionPolicy) -> Bool {
    defer { lastPing = now }
    guard sentFrames == self.sentFrames else {
      // Who gets something may measure the way: those are no strikes.
      self.sentFrames = sentFrames
      strikes = 0
      return true
    }
    let interval = hasCalls || policy.allowsPingsWithoutCalls ? policy.minPingInterval : Self.idleInterval
    guard let lastPing, now - lastPing < interval else { return true }
    strikes += 1
    return strikes != Self.allowed + 1
  }
}
