package import CoreMetrics
internal import Synchronization

/// swift-metrics' back end: counters, gauges and histograms as Prometheus reads them.
///
/// A counter's name gets `_total`, a timer records seconds, and `.` becomes `_`. A metric without a description says so
/// in its help text; describe it with ``describe(_:)`` at the start.
package final class MetricsRegistry: MetricsFactory {
  struct Family {
    let kind: MetricKind
    let description: MetricDescription
    var counters: [MetricLabels: CounterSeries] = [:]
    var gauges: [MetricLabels: GaugeSeries] = [:]
    var histograms: [MetricLabels: HistogramSeries] = [:]

    var count: Int { counters.count + gauges.count + histograms.count }
  }

  private struct State {
    var families: [String: Family] = [:]
    var descriptions: [String: MetricDescription] = [:]
    var collectors: [@Sendable () -> Void] = []
  }

  /// Series of one metric. Above it new label values share one series that is not shown: a label must never let a caller
  /// fill the memory.
  package static let maximumSeries = 1_000

  private let state = Mutex(State())

  package init() {}

  /// Gives metrics their help texts and buckets. Call it before they are used.
  package func describe(_ descriptions: [MetricDescription]) {
    state.withLock { state in
      for description in descriptions { state.descriptions[metricName(description.name)] = description }
    }
  }

  /// Runs before each reading of the metrics, on the reader's thread: for gauges that are cheap to look up.
  package func collect(_ collector: @escaping @Sendable () -> Void) {
    state.withLock { $0.collectors.append(collector) }
  }

  // MARK: MetricsFactory

  package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    counter(label, dimensions)
  }

  package func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    counter(label, dimensions)
  }

  package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler { gauge(label, dimensions) }

  package func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    aggregate ? histogram(label, dimensions) : gauge(label, dimensions)
  }

  package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    histogram(label, dimensions)
  }

  // Series live as long as the process: a scraper must not see a counter vanish.
  package func destroyCounter(_ handler: any CounterHandler) {}
  package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  package func destroyMeter(_ handler: any MeterHandler) {}
  package func destroyRecorder(_ handler: any RecorderHandler) {}
  package func destroyTimer(_ handler: any TimerHandler) {}

  private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterSeries {
    let name = metricName(label)
    return series(name.hasSuffix("_total") ? name : name + "_total", .counter, dimensions, \.counters) { _ in
      CounterSeries()
    }
  }

  func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeSeries {
    series(metricName(label), .gauge, dimensions, \.gauges) { _ in GaugeSeries() }
  }

  private func histogram(_ label: String, _ dimensions: [(String, String)]) -> HistogramSeries {
    series(metricName(label), .histogram, dimensions, \.histograms) { HistogramSeries(bounds: $0.buckets) }
  }

  private func series<Series: AnyObject & Sendable>(
    _ name: String, _ kind: MetricKind, _ dimensions: [(String, String)],
    _ keyPath: WritableKeyPath<Family, [MetricLabels: Series]>, _ make: (MetricDescription) -> Series
  ) -> Series {
    let labels = MetricLabels(dimensions)
    return state.withLock { state in
      var family =
        state.families[name]
        ?? Family(
          kind: kind, description: state.descriptions[name] ?? MetricDescription(name, help: "Not described."))
      // A name has one kind; a second use as another kind is counted but not shown.
      guard family.kind == kind else { return make(family.description) }
      if let known = family[keyPath: keyPath][labels] { return known }
      let series = make(family.description)
      guard family.count < Self.maximumSeries else { return series }
      family[keyPath: keyPath][labels] = series
      state.families[name] = family
      return series
    }
  }

  // MARK: Exposition

  /// The content type of ``exposition()``.
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// All metrics in Prometheus' text format.
  package func exposition() -> [UInt8] {
    let collectors = state.withLock { $0.collectors }
    for collector in collectors { collector() }
    let families = state.withLock { $0.families }
    var text = ""
    for (name, family) in families.sorted(by: { $0.key < $1.key }) { write(name, family, to: &text) }
    ProcessMetrics.write(to: &text)
    return Array(text.utf8)
  }

  private func write(_ name: String, _ family: Family, to text: inout String) {
    text += "# HELP \(name) \(family.description.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
    for (labels, series) in family.counters.sorted(by: { $0.key.text < $1.key.text }) {
      text += "\(name)\(braced(labels.text)) \(number(series.value))\n"
    }
    for (labels, series) in family.gauges.sorted(by: { $0.key.text < $1.key.text }) {
      text += "\(name)\(braced(labels.text)) \(number(series.value))\n"
    }
    for (labels, series) in family.histograms.sorted(by: { $0.key.text < $1.key.text }) {
      write(name, labels.text, family.description.buckets, series.snapshot, to: &text)
    }
  }

  private func write(
    _ name: String, _ labels: String, _ bounds: [Double], _ snapshot: HistogramSeries.Snapshot, to text: inout String
  ) {
    let prefix = labels.isEmpty ? "" : labels + ","
    var cumulative: UInt64 = 0
    for (index, count) in snapshot.counts.enumerated() {
      cumulative += count
      let bound = index < bounds.count ? number(bounds[index]) : "+Inf"
      text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(cumulative)\n"
    }
    text += "\(name)_sum\(braced(labels)) \(number(snapshot.sum))\n\(name)_count\(braced(labels)) \(cumulative)\n"
  }
}

private func braced(_ labels: String) -> String { labels.isEmpty ? "" : "{\(labels)}" }

func number(_ value: Double) -> String {
  if let integer = Int64(exactly: value) { return String(integer) }
  return value.isNaN ? "NaN" : value.isInfinite ? (value > 0 ? "+Inf" : "-Inf") : "\(value)"
}
