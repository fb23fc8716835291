import HTTP2Session
import CoreMetrics

/// How often each of HTTP/2's limits ended a stream or a connection.
final class LimitMetrics {
  private var counters: [HTTP2Limit: Counter] = [:]

  func exceeded(_ limit: HTTP2Limit) {
    let counter =
      counters[limit] ?? Counter(label: "rpc_http2_limits_total", dimensions: [("limit", limit.rawValue)])
    counters[limit] = counter
    counter.increment()
  }
}
