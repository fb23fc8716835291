import HTTP2Session
import CoreMetrics

/// How often peers met each limit, by `limit`: what each attack is seen by.
final class LimitMetrics {
  private let label: String
  private let dimensions: [(String, String)]
  private var counters: [HTTP2Limit: Counter] = [:]

  init(_ label: String, _ dimensions: [(String, String)] = []) {
    self.label = label
    self.dimensions = dimensions
  }

  func exceeded(_ limit: HTTP2Limit) {
    let counter =
      counters[limit] ?? Counter(label: label, dimensions: dimensions + [("limit", limit.rawValue)])
    counters[limit] = counter
    counter.increment()
  }
}
