import CoreMetrics
import EventLoop

/// What a pool tells of itself.
final class PostgresFigures {
  private let busyGauge: Gauge
  private let openGauge: Gauge
  private let waitingGauge: Gauge
  private let openedCounter: Counter
  private let failedCounter: Counter
  private let duration: CoreMetrics.Timer
  private let loop: String
  private var openCount = 0
  private var failures: [PostgresError.Code: Counter] = [:]

  init(loop: String) {
    self.loop = loop
    let dimensions = [("loop", loop)]
    busyGauge = Gauge(label: "emailmcp_postgres_transactions_open", dimensions: dimensions)
    openGauge = Gauge(label: "emailmcp_postgres_connections", dimensions: dimensions)
    waitingGauge = Gauge(label: "emailmcp_postgres_waiting", dimensions: dimensions)
    openedCounter = Counter(label: "emailmcp_postgres_connects_total", dimensions: [("result", "ok")])
    failedCounter = Counter(label: "emailmcp_postgres_connects_total", dimensions: [("result", "failed")])
    duration = CoreMetrics.Timer(label: "emailmcp_postgres_query_duration_seconds")
  }

  func finished(_ time: Duration, failure: PostgresError.Code?) {
    duration.recordNanoseconds(time.wholeNanoseconds)
    guard let failure else { return }
    let counter =
      failures[failure]
      ?? Counter(label: "emailmcp_postgres_errors_total", dimensions: [("code", failure.rawValue)])
    failures[failure] = counter
    counter.increment()
  }

  func waiting(_ count: Int) { waitingGauge.record(count) }

  func transactions(_ count: Int) { busyGauge.record(count) }

  func opened() {
    openedCounter.increment()
    openCount += 1
    openGauge.record(openCount)
  }

  func closed() {
    openCount -= 1
    openGauge.record(openCount)
  }

  func openFailed() { failedCounter.increment() }
}
