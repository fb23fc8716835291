import EventLoop
import CoreMetrics

/// The figures of one method of a channel: of its attempts, and of calls over all their attempts.
final class ClientMetrics {
  private let attempts: CallMetrics
  private let dimensions: [(String, String)]
  private let retries: Counter
  private let transparentRetries: Counter
  private let hedges: Counter
  private var durations: [CoreMetrics.Timer?] = Array(repeating: nil, count: 18)

  init(method: String, target: String) {
    attempts = CallMetrics(.client, method: method, target: target)
    let dimensions = [("grpc_method", method), ("grpc_target", target)]
    self.dimensions = dimensions
    retries = Counter(label: "grpc_client_call_retries_total", dimensions: dimensions)
    transparentRetries = Counter(label: "grpc_client_call_transparent_retries_total", dimensions: dimensions)
    hedges = Counter(label: "grpc_client_call_hedges_total", dimensions: dimensions)
  }

  func attemptStarted() { attempts.callStarted() }

  /// An attempt that the server has certainly not processed is sent again.
  func transparentRetry() { transparentRetries.increment() }

  func attemptEnded(_ code: StatusCode, _ duration: Duration, sent: Int, received: Int) {
    attempts.callEnded(code, nanoseconds: duration.wholeNanoseconds, sent: sent, received: received)
  }

  /// - Parameters:
  ///   - retries: attempts after the first; `hedges`: those beside it.
  func callEnded(_ code: StatusCode, _ duration: Duration, retries: Int = 0, hedges: Int = 0) {
    if retries > 0 { self.retries.increment(by: retries) }
    if hedges > 0 { self.hedges.increment(by: hedges) }
    let index = code.metricIndex
    let timer =
      durations[index]
      ?? CoreMetrics.Timer(
        label: "grpc_client_call_duration_seconds", dimensions: dimensions + [("grpc_status", code.metricLabel)])
    durations[index] = timer
    timer.recordNanoseconds(duration.wholeNanoseconds)
  }
}

extension StatusCode {
  /// 0…16, and 17 for every other number.
  var metricIndex: Int { isCanonical ? Int(rawValue) : 17 }
  var metricLabel: String { isCanonical ? description : "OTHER" }
}
