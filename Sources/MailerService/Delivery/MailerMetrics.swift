import EventLoop
import CoreMetrics

/// The mailer's own figures. Made on each loop, once the process's registry stands; all write the same series.
struct MailerMetrics: Sendable {
  private let outcomes: [String: Counter]
  private let gmail = CoreMetrics.Timer(label: "emailmcp_gmail_request_duration_seconds")
  private let depth = Gauge(label: "emailmcp_queue_depth")
  private let oldestAge = Gauge(label: "emailmcp_queue_oldest_age_seconds")

  init() {
    // Known from the start, so that a rate over them is one from the first mail on.
    let words = ["success", "failed", "unknown", "cancelled"]
    outcomes = Dictionary(
      uniqueKeysWithValues: words.map {
        ($0, Counter(label: "emailmcp_send_outcomes_total", dimensions: [("outcome", $0)]))
      })
  }

  func outcome(_ status: String) { outcomes[status]?.increment() }

  func gmailRequest(_ duration: Duration) { gmail.recordNanoseconds(duration.wholeNanoseconds) }

  func queue(_ figures: MailStore.QueueFigures) {
    depth.record(figures.depth)
    oldestAge.record(figures.oldestAge)
  }
}
