import EventLoop
import CoreMetrics

/// The figures of one method of a channel: of its attempts, and of calls over all their attempts.
final class ClientMetrics {
  private let attempts: CallMetrics
  private let dimensions: [(String, String)]
  private var durations: [CoreMetrics.Timer?] = Array(repeating: nil, count: 18)

  init(method: String, target: String) {
    attempts = CallMetrics(.client, method: method, target: target)
    dimensions = [("grpc_method", method), ("grpc_target", target)]
  }

  func attemptStarted() { attempts.callStarted() }

  func attemptEnded(_ code: StatusCode, _ duration: Duration, sent: Int, received: Int) {
    attempts.callEnded(code, duration, sent: sent, received: received)
  }

  func callEnded(_ code: StatusCode, _ duration: Duration) {
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
