import CoreMetrics

/// The figures of a channel's connections.
///
/// Spec: gRPC proposals A94 (whose labels of xDS are left out) and A91, in Prometheus' spelling: see `CallMetrics`.
final class SubchannelMetrics {
  private let dimensions: [(String, String)]
  private let succeeded: Counter
  private let failed: Counter
  /// Goes up and down: the channels of a process's loops to one target share it.
  private let open: Meter
  private var disconnections: [String: Counter] = [:]
  private let ejections: Counter

  init(target: String) {
    dimensions = [("grpc_target", target)]
    succeeded = Counter(label: "grpc_subchannel_connection_attempts_succeeded_total", dimensions: dimensions)
    failed = Counter(label: "grpc_subchannel_connection_attempts_failed_total", dimensions: dimensions)
    open = Meter(label: "grpc_subchannel_open_connections", dimensions: dimensions)
    ejections = Counter(label: "grpc_lb_outlier_detection_ejections_enforced_total", dimensions: dimensions)
  }

  func connected() {
    succeeded.increment()
    open.increment()
  }

  func connectFailed() { failed.increment() }

  /// A connection that was counted as connected takes no more calls; its first reason counts.
  func disconnected(_ reason: DisconnectReason) {
    open.decrement()
    let counter =
      disconnections[reason.label]
      ?? Counter(
        label: "grpc_subchannel_disconnections_total",
        dimensions: dimensions + [("grpc_disconnect_error", reason.label)])
    disconnections[reason.label] = counter
    counter.increment()
  }

  func ejected() { ejections.increment() }
}
