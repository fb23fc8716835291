import CoreMetrics

/// The figures of a channel's connections.
///
/// Spec: gRPC proposals A94 and A91, with `_` for `.`.
final class SubchannelMetrics {
  private let succeeded: Counter
  private let failed: Counter
  private let disconnections: Counter
  private let ejections: Counter

  init(target: String) {
    let dimensions = [("grpc_target", target)]
    succeeded = Counter(label: "grpc_subchannel_connection_attempts_succeeded_total", dimensions: dimensions)
    failed = Counter(label: "grpc_subchannel_connection_attempts_failed_total", dimensions: dimensions)
    disconnections = Counter(label: "grpc_subchannel_disconnections_total", dimensions: dimensions)
    ejections = Counter(label: "grpc_lb_outlier_detection_ejections_enforced_total", dimensions: dimensions)
  }

  func connected() { succeeded.increment() }
  func connectFailed() { failed.increment() }
  func disconnected() { disconnections.increment() }
  func ejected() { ejections.increment() }
}
