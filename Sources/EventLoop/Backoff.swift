/// Growing, jittered waits between attempts: `min(initial · multiplierⁿ, limit)`, times a factor drawn from 1 ± jitter.
///
/// The defaults are gRPC's connection back-off (grpc/doc/connection-backoff.md).
public struct Backoff: Sendable, Hashable {
  public var initial: Duration
  public var multiplier: Double
  public var limit: Duration
  public var jitter: Double
  private var attempts = 0

  public init(
    initial: Duration = .seconds(1), multiplier: Double = 1.6, limit: Duration = .seconds(120), jitter: Double = 0.2
  ) {
    self.initial = initial
    self.multiplier = multiplier
    self.limit = limit
    self.jitter = jitter
  }

  /// The next wait. `random` lies in 0..<1.
  public mutating func next(random: Double = .random(in: 0..<1)) -> Duration {
    var delay = initial.inSeconds
    for _ in 0..<attempts where delay < limit.inSeconds { delay *= multiplier }
    attempts += 1
    delay = min(delay, limit.inSeconds) * (1 + jitter * (2 * random - 1))
    return .nanoseconds(Int64(delay * 1e9))
  }

  /// To be called on success: the next failure begins with `initial` again.
  public mutating func reset() { attempts = 0 }
}
