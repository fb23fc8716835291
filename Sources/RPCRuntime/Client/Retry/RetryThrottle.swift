/// The budget of a channel's retries and hedges, so that they do not multiply the load of servers that fail anyway: a
/// failure that could be retried costs a token, a success gives `ratio` back, and with half of the tokens or fewer
/// nothing is repeated.
///
/// Spec: gRPC proposal A6, "Throttling Retry Attempts and Hedged RPCs".
public struct RetryThrottle: Sendable, Hashable {
  /// Counted in thousandths: the specification gives the ratio three digits.
  private let limit: Int
  private let ratio: Int
  private var tokens: Int

  /// - Parameters:
  ///   - maxTokens: 1 to 1000. Half of them is how many calls may fail at one time and all be retried: with the default
  ///     a lost connection with all its 128 streams.
  ///   - ratio: tokens that a success gives back; the share of calls that may go on being retried.
  public init(maxTokens: Int = 400, ratio: Double = 0.1) {
    limit = min(max(maxTokens, 1), 1000) * 1000
    self.ratio = max(1, Int(ratio * 1000))
    tokens = limit
  }

  /// Whether a call may be repeated now.
  var allows: Bool { tokens > limit / 2 }

  /// How many of how many are left.
  var tokensLeft: Double { Double(tokens) / 1_000 }
  var maxTokens: Double { Double(limit) / 1_000 }

  mutating func failed() { tokens = max(0, tokens - 1000) }
  mutating func succeeded() {
    if tokens < limit { tokens = min(limit, tokens + ratio) }
  }
}
