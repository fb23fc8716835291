import EventLoop
import CoreMetrics

/// The figures of one method on one side, under gRPC's own names in Prometheus' spelling: `_` for `.`, then the unit, and
/// `_total` at the end of a counter.
///
/// Only registered methods have figures of their own: a path that a stranger invents never becomes a label.
/// Spec: https://github.com/grpc/proposal/blob/master/A66-otel-stats.md
final class CallMetrics {
  enum Side: String { case server = "grpc_server_call", client = "grpc_client_attempt" }

  private let dimensions: [(String, String)]
  private let side: Side
  private let started: Counter
  // Without exclusivity checks, as in `CallStream`.
  @exclusivity(unchecked) private var durations: [CoreMetrics.Timer?] = Array(repeating: nil, count: 18)
  @exclusivity(unchecked) private var sent: [Recorder?] = Array(repeating: nil, count: 18)
  @exclusivity(unchecked) private var received: [Recorder?] = Array(repeating: nil, count: 18)

  init(_ side: Side, method: String, target: String? = nil) {
    self.side = side
    var dimensions = [("grpc_method", method)]
    if let target { dimensions.append(("grpc_target", target)) }
    self.dimensions = dimensions
    started = Counter(label: "\(side.rawValue)_started_total", dimensions: dimensions)
  }

  func callStarted() { started.increment() }

  /// - Parameters:
  ///   - sent: bytes of messages, as compressed, without their prefixes; `received` likewise.
  func callEnded(_ code: StatusCode, nanoseconds: Int64, sent sentBytes: Int, received receivedBytes: Int) {
    let index = code.metricIndex
    if durations[index] == nil { makeHandlers(index, code) }
    durations[index]!.recordNanoseconds(nanoseconds)
    sent[index]!.record(sentBytes)
    received[index]!.record(receivedBytes)
  }

  private func makeHandlers(_ index: Int, _ code: StatusCode) {
    let dimensions = self.dimensions + [("grpc_status", code.metricLabel)]
    let name = side.rawValue
    durations[index] = CoreMetrics.Timer(label: "\(name)_duration_seconds", dimensions: dimensions)
    sent[index] = Recorder(label: "\(name)_sent_total_compressed_message_size_bytes", dimensions: dimensions)
    received[index] = Recorder(label: "\(name)_rcvd_total_compressed_message_size_bytes", dimensions: dimensions)
  }
}
