/// When a failed call is sent again: only before the server's headers have come, and while the messages sent so far are
/// still kept (`replayBytes`).
///
/// Spec: gRPC proposal A6.
public struct RetryPolicy: Sendable, Hashable {
  /// The first attempt included: 2 to 5.
  public let maxAttempts: Int
  public let initialBackoff: Duration
  public let maxBackoff: Duration
  public let backoffMultiplier: Double
  /// Failures after which the call may be repeated.
  public let retryableCodes: Set<StatusCode>

  /// - Parameters:
  ///   - maxAttempts: the first attempt included; clamped to 2 to 5.
  ///   - retryableCodes: for a method that may safely run twice UNAVAILABLE; with others the server must have said that it
  ///     did nothing.
  public init(
    maxAttempts: Int = 4, initialBackoff: Duration = .milliseconds(100), maxBackoff: Duration = .seconds(1),
    backoffMultiplier: Double = 2, retryableCodes: Set<StatusCode> = [.unavailable]
  ) {
    self.maxAttempts = min(max(maxAttempts, 2), 5)
    self.initialBackoff = initialBackoff
    self.maxBackoff = maxBackoff
    self.backoffMultiplier = backoffMultiplier
    self.retryableCodes = retryableCodes
  }
}

/// When a call is sent several times at once and the first answer counts: for unary methods that may safely run several
/// times, whose slowest calls matter.
///
/// Spec: gRPC proposal A6, "Hedging Policy".
public struct HedgingPolicy: Sendable, Hashable {
  /// The first attempt included: 2 to 5.
  public let maxAttempts: Int
  /// Between attempts; the next one goes at once when one fails with a code of `nonFatalCodes`.
  public let delay: Duration
  /// Failures that leave it to the other attempts; any other ends the call.
  public let nonFatalCodes: Set<StatusCode>

  /// - Parameter maxAttempts: the first attempt included; clamped to 2 to 5.
  public init(maxAttempts: Int = 2, delay: Duration, nonFatalCodes: Set<StatusCode> = [.unavailable]) {
    self.maxAttempts = min(max(maxAttempts, 2), 5)
    self.delay = delay
    self.nonFatalCodes = nonFatalCodes
  }
}
