/// The right to send one mail, for a while. Its epoch stands in the condition of every later write, so that a worker
/// that slept past its lease changes nothing.
struct Lease: Sendable, Equatable {
  /// How long one lasts without renewal: the longest that a dead worker's mail waits for another.
  static let duration: Duration = .seconds(15)
  /// How often it is renewed while a request is under way.
  static let renewal: Duration = .seconds(5)
  /// How soon to try again when the database did not take a renewal.
  static let renewalRetry: Duration = .seconds(1)
  /// What must be left of it before the first byte may leave: time to see a request begin and to renew.
  static let reserve: Duration = .seconds(5)

  var epoch: Int64
  /// On the worker's own monotonic clock, reckoned from before the lease was asked for: earlier than the database's
  /// idea of it, never later.
  var until: Duration

  func hasReserve(at now: Duration) -> Bool { until - now >= Self.reserve }

  /// When to renew next, after a renewal; nil: the lease is lost, and the outcome will be fenced off.
  static func wait(afterRenewal isMine: Bool?) -> Duration? {
    switch isMine {
    case true?: renewal
    case false?: nil
    case nil: renewalRetry
    }
  }
}
