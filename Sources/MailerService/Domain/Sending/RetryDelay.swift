/// How long to wait before the next try: doubling, bounded, and spread so that mails refused together do not come back
/// together.
struct RetryDelay: Sendable, Equatable {
  var first: Duration
  var longest: Duration

  /// A server that could not be reached.
  static let connection = RetryDelay(first: .milliseconds(250), longest: .seconds(300))
  /// Gmail's advice for its rate limits: start at a second.
  static let rateLimit = RetryDelay(first: .seconds(1), longest: .seconds(120))

  /// A database that did not take a step.
  static let database = RetryDelay(first: .milliseconds(50), longest: .seconds(1))

  /// The wait after the `failures`-th failure (from 1).
  func delay(failures: Int, jitter: Double) -> Duration {
    let exponent = min(max(failures - 1, 0), 20)
    return Self.spread(min(first * (1 << exponent), longest), jitter: jitter)
  }

  /// The wait moved to between 80 % and 120 % by `jitter`, in 0..<1.
  static func spread(_ delay: Duration, jitter: Double) -> Duration { delay * (0.8 + 0.4 * jitter) }
}
