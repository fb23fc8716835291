/// A channel as its calls see it: gRPC's connectivity states.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/connectivity-semantics-and-api.md
public enum ChannelState: String, Sendable, Hashable {
  /// IDLE: without a connection until a call wants one.
  case idle
  /// CONNECTING: calls wait.
  case connecting
  /// READY: a connection is open that takes calls.
  case ready
  /// TRANSIENT_FAILURE: calls that do not wait for readiness fail at once; the attempts to connect go on.
  case failing
  /// SHUTDOWN: for good.
  case closed
}
