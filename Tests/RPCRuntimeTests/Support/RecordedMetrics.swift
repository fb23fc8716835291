import CoreMetrics
import Synchronization

/// Keeps what this process measures, for tests that look at their own target's or method's series.
final class RecordedMetrics: MetricsFactory {
  /// Installed by its first use; what was made before is not seen.
  static let shared: RecordedMetrics = {
    let recorded = RecordedMetrics()
    MetricsSystem.bootstrap(recorded)
    return recorded
  }()

  private let series = Mutex<[String: Series]>([:])

  /// What series of this name recorded whose labels contain `labels`.
  func values(_ name: String, _ labels: (String, String)...) -> [Double] { values(name, labels) }

  /// The names of what was recorded, each with the names of its labels.
  var labels: [String: Set<[String]>] {
    series.withLock { all in
      all.values.reduce(into: [:]) { labels, series in
        guard !series.values.withLock(\.isEmpty) else { return }
        labels[series.name, default: []].insert(series.labels.map(\.0))
      }
    }
  }

  func sum(_ name: String, _ labels: (String, String)...) -> Double { values(name, labels).reduce(0, +) }

  private func values(_ name: String, _ labels: [(String, String)]) -> [Double] {
    series.withLock { all in
      all.values
        .filter { series in
          series.name == name && labels.allSatisfy { label in series.labels.contains { $0 == label } }
        }
        .flatMap { $0.values.withLock(\.self) }
    }
  }

  private func series(_ name: String, _ labels: [(String, String)]) -> Series {
    series.withLock { all in
      let key = "\(name) \(labels)"
      let found = all[key] ?? Series(name: name, labels: labels)
      all[key] = found
      return found
    }
  }

  final class Series: CounterHandler, TimerHandler, RecorderHandler, MeterHandler {
    let name: String
    let labels: [(String, String)]
    let values = Mutex<[Double]>([])

    init(name: String, labels: [(String, String)]) {
      self.name = name
      self.labels = labels
    }

    private func add(_ value: Double) { values.withLock { $0.append(value) } }
    func increment(by amount: Int64) { add(Double(amount)) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }
    func record(_ value: Int64) { add(Double(value)) }
    func record(_ value: Double) { add(value) }
    func recordNanoseconds(_ duration: Int64) { add(Double(duration)) }
    func set(_ value: Int64) { fatalError("nothing here sets a meter") }
    func set(_ value: Double) { fatalError("nothing here sets a meter") }
    func reset() {}
  }

  func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler { series(label, dimensions) }
  func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler { series(label, dimensions) }
  func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    series(label, dimensions)
  }
  func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler { series(label, dimensions) }
  func destroyCounter(_ handler: any CounterHandler) {}
  func destroyMeter(_ handler: any MeterHandler) {}
  func destroyRecorder(_ handler: any RecorderHandler) {}
  func destroyTimer(_ handler: any TimerHandler) {}
}
