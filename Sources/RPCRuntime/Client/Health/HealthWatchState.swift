import EventLoop

/// What one connection's `grpc.health.v1.Health/Watch` says, as a value.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/health-checking.md, "Client Behavior"; proposal A17.
struct HealthWatchState: Equatable {
  enum Action: Equatable {
    /// Whether the connection may take calls.
    case report(Bool)
    /// Watch again after the delay.
    case retry(Duration)
    case nothing
  }

  private(set) var isServing: Bool?
  private var backoff: Backoff

  init(backoff: Backoff) { self.backoff = backoff }

  mutating func received(_ status: ServingStatus) -> Action {
    backoff.reset()
    return report(status == .serving)
  }

  /// The watch has ended though the connection lives.
  ///
  /// - Parameter random: in 0..<1.
  mutating func ended(_ code: StatusCode, random: Double) -> [Action] {
    // A server without the health service cannot say that it is unwell.
    if code == .unimplemented { return [report(true)] }
    return [report(false), .retry(backoff.next(random: random))]
  }

  private mutating func report(_ serving: Bool) -> Action {
    guard isServing != serving else { return .nothing }
    isServing = serving
    return .report(serving)
  }
}
