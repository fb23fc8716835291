import CoreMetrics
import ServiceKit
import Testing

@Suite("Metrics")
struct MetricsTests {
  private func text(_ registry: MetricsRegistry) -> String { String(decoding: registry.exposition(), as: UTF8.self) }

  @Test("Counters, gauges and histograms read as Prometheus' text format")
  func exposition() {
    let registry = MetricsRegistry()
    registry.describe([
      MetricDescription("mails_total", help: "Mails."),
      MetricDescription("wait_seconds", help: "Waits.", buckets: [0.1, 1]),
    ])
    Counter(label: "mails", dimensions: [("outcome", "a\"b\\\n")], factory: registry).increment(by: 2)
    Meter(label: "queue.depth", factory: registry).set(7)
    let timer = Timer(label: "wait_seconds", factory: registry)
    timer.recordMilliseconds(50)
    timer.recordMilliseconds(100)
    timer.recordSeconds(5)
    let text = text(registry)
    #expect(
      text.contains("# HELP mails_total Mails.\n# TYPE mails_total counter\nmails_total{outcome=\"a\\\"b\\\\\\n\"} 2\n")
    )
    #expect(text.contains("# TYPE queue_depth gauge\nqueue_depth 7\n"))
    #expect(
      text.contains(
        """
        # TYPE wait_seconds histogram
        wait_seconds_bucket{le="0.1"} 2
        wait_seconds_bucket{le="1"} 2
        wait_seconds_bucket{le="+Inf"} 3
        wait_seconds_sum 5.15
        wait_seconds_count 3

        """))
    #expect(text.contains("process_resident_memory_bytes "))
  }

  @Test("A count only grows, and what is no number is recorded nowhere")
  func notNumbers() {
    let registry = MetricsRegistry()
    registry.describe([MetricDescription("wait_seconds", help: "Waits.", buckets: [1])])
    let counter = FloatingPointCounter(label: "mails", factory: registry)
    for amount in [1.5, -1, 0, .nan, .infinity] { counter.increment(by: amount) }
    let waits = Recorder(label: "wait_seconds", factory: registry)
    for value in [1, 1.5, Double.nan, .infinity] { waits.record(value) }
    let text = text(registry)
    #expect(text.contains("\nmails_total 1.5\n"))
    #expect(
      text.contains("wait_seconds_bucket{le=\"1\"} 1\nwait_seconds_bucket{le=\"+Inf\"} 2\nwait_seconds_sum 2.5\n"))
  }

  @Test("A name that Prometheus does not take is made one that it takes")
  func names() {
    let registry = MetricsRegistry()
    Meter(label: "9 lives/a-b", dimensions: [("1.x", "é")], factory: registry).set(3)
    #expect(text(registry).contains("\n_9_lives_a_b{_1_x=\"é\"} 3\n"))
  }

  @Test("The same name and labels are one series")
  func sameSeries() {
    let registry = MetricsRegistry()
    for _ in 0..<2 { Counter(label: "c_total", dimensions: [("a", "1")], factory: registry).increment() }
    #expect(text(registry).contains("c_total{a=\"1\"} 2\n"))
  }

  @Test("Labels from outside cannot fill the memory")
  func seriesLimit() {
    let registry = MetricsRegistry()
    for value in 0...MetricsRegistry.maximumSeries {
      Counter(label: "c_total", dimensions: [("a", "\(value)")], factory: registry).increment()
    }
    let shown = text(registry).split(separator: "\n").filter { $0.hasPrefix("c_total{") }
    #expect(shown.count == MetricsRegistry.maximumSeries)
  }

  @Test("A collector runs before each reading")
  func collectors() {
    let registry = MetricsRegistry()
    registry.collect { Meter(label: "depth", factory: registry).increment() }
    _ = text(registry)
    #expect(text(registry).contains("\ndepth 2\n"))
  }
}
