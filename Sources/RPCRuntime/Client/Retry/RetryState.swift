/// The attempts of one call, as a value.
struct RetryState: Equatable {
  /// Sent as `grpc-previous-rpc-attempts`. Attempts that the server has certainly not seen do not count.
  private(set) var previousAttempts = 0
  /// Since the call began, or since the server named a delay.
  private var backoffs = 0

  /// An attempt failed.
  ///
  /// - Parameters:
  ///   - timeLeft: until the deadline; nil without one. A wait beyond it is not begun: the failure tells more.
  ///   - random: in 0..<1.
  /// - Returns: after how long the next one goes; nil when there is none.
  mutating func next(
    after code: StatusCode, _ pushback: Pushback, timeLeft: Duration?, policy: RetryPolicy,
    throttle: inout RetryThrottle, random: Double
  ) -> Duration? {
    let isRetryable = policy.retryableCodes.contains(code)
    if isRetryable || pushback == .stop { throttle.failed() }
    guard isRetryable, pushback != .stop, previousAttempts + 1 < policy.maxAttempts, throttle.allows else { return nil }
    let delay: Duration
    if case .delay(let asked) = pushback {
      backoffs = 0
      delay = asked
    } else {
      delay = backoff(policy, random: random)
      backoffs += 1
    }
    if let timeLeft, timeLeft <= delay { return nil }
    previousAttempts += 1
    return delay
  }

  private func backoff(_ policy: RetryPolicy, random: Double) -> Duration {
    var seconds = policy.initialBackoff / .seconds(1)
    let limit = policy.maxBackoff / .seconds(1)
    for _ in 0..<backoffs where seconds < limit { seconds *= policy.backoffMultiplier }
    return .nanoseconds(Int64(min(seconds, limit) * (0.8 + 0.4 * random) * 1e9))
  }
}
