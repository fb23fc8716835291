/// What an endpoint answered, and what that means for the delivery.
enum WebhookAnswer: Hashable, Sendable {
  /// - Parameter retryAfter: what the endpoint asks to wait, in seconds.
  case status(Int, retryAfter: Int?)
  /// No answer: why, for a person.
  case failure(String)
  /// Nothing was sent: the endpoint's address is not one to send to.
  case refused(String)
}

/// The life of one delivery, by the schedule that Standard Webhooks recommends.
struct WebhookAttempt: Hashable, Sendable {
  enum Verdict: Hashable, Sendable {
    case delivered
    case retry(after: Duration)
    /// Kept for a replay, and not tried again by itself. `disables`: nothing more goes to this endpoint.
    case dead(disables: Bool)
  }

  /// How long to wait after the first, second, … failure; after the last the delivery is dead.
  static let schedule: [Duration] = [
    .seconds(5), .seconds(5 * 60), .seconds(30 * 60), .seconds(2 * 3600), .seconds(5 * 3600), .seconds(10 * 3600),
    .seconds(14 * 3600), .seconds(20 * 3600), .seconds(24 * 3600),
  ]
  /// An attempt that takes longer than this makes its endpoint a slow one, until one takes less. Slow ones share half of the
  /// places, so that they hold up none that answers at once.
  static let slowAfter: Duration = .seconds(2)
  /// The longest wait that an endpoint may ask for.
  static let longestWait: Duration = .seconds(24 * 3600)

  /// Counts from 1, anew when the event is told again.
  var number: Int

  /// - Parameter jitter: 0..<1; spreads what failed together over a tenth more.
  func verdict(on answer: WebhookAnswer, jitter: Double) -> Verdict {
    var asked = Duration.zero
    switch answer {
    case .status(200..<300, _): return .delivered
    // "The endpoint is gone and wants no more" (Standard Webhooks).
    case .status(410, _): return .dead(disables: true)
    case .status(_, let seconds?): asked = min(.seconds(max(0, seconds)), Self.longestWait)
    default: break
    }
    guard number <= Self.schedule.count else { return .dead(disables: false) }
    return .retry(after: max(Self.schedule[max(0, number - 1)] * (1 + jitter / 10), asked))
  }
}
