/// What the calls of a method want where they do not say it themselves.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/service_config.md, `MethodConfig`.
public struct MethodConfiguration: Sendable, Hashable {
  /// How a call is sent more than once.
  public enum Repetition: Sendable, Hashable {
    /// Never, but for requests that the server has certainly not processed.
    case never
    /// Again after a failure.
    case retry(RetryPolicy)
    /// Several times at once: unary methods that are marked `isSafe` alone. Others are not repeated where their service or
    /// the default says this; calls of a method that is named and is not such a one end with INTERNAL.
    case hedge(HedgingPolicy)
  }

  public var repetition = Repetition.never
  /// How long a call may take at most. A shorter time of the call's own wins.
  public var timeout: Duration?
  /// Whether to wait while the server is away; the channel's habit when nil.
  public var waitForReady: Bool?
  /// The largest request, in bytes. Above it the call ends with RESOURCE_EXHAUSTED. Nil: no limit here.
  public var maxRequestBytes: Int?
  /// The largest response, in bytes, where the call does not allow less; the channel's limit when nil.
  public var maxResponseBytes: Int?

  public init(repetition: Repetition = .never, timeout: Duration? = nil, waitForReady: Bool? = nil) {
    self.repetition = repetition
    self.timeout = timeout
    self.waitForReady = waitForReady
  }
}

/// What a channel knows of a method: its configuration and its figures.
final class MethodSettings {
  let configuration: MethodConfiguration
  let metrics: ClientMetrics
  let retry: RetryPolicy?
  let hedging: HedgingPolicy?
  /// Why calls of the method cannot be made.
  let mistake: RPCError?

  init(_ method: MethodDescriptor, _ service: ServiceConfiguration, target: String) {
    configuration = service.configuration(of: method)
    metrics = ClientMetrics(method: method.fullName, target: target)
    mistake = service.mistake(about: method).map { RPCError(.internal, "the service config \($0)") }
    switch configuration.repetition {
    case .retry(let policy): (retry, hedging) = (policy, nil)
    case .hedge(let policy) where method.mayHedge: (retry, hedging) = (nil, policy)
    case .never, .hedge: (retry, hedging) = (nil, nil)
    }
  }
}
