import EventLoop

/// Which servers of a channel are ejected, as a value.
struct OutlierDetector: Equatable {
  private struct Host: Equatable {
    var successes = 0
    var failures = 0
    var calls: Int { successes + failures }
    var inRow = 0
    var ejectedAt: Instant?
    /// How often it was ejected, less the intervals that it behaved.
    var ejections = 0
  }

  private let configuration: OutlierDetection
  private var hosts: [Int: Host] = [:]
  private var evaluatedAt: Instant

  init(_ configuration: OutlierDetection, now: Instant) {
    self.configuration = configuration
    evaluatedAt = now
  }

  func isEjected(_ id: Int) -> Bool { hosts[id]?.ejectedAt != nil }

  /// An attempt has ended.
  ///
  /// - Parameter hosts: how many servers the channel has.
  /// - Returns: whether the server was ejected by it.
  mutating func record(_ id: Int, failed: Bool, of count: Int, now: Instant) -> Bool {
    guard failed else {
      hosts[id, default: Host()].successes += 1
      hosts[id, default: Host()].inRow = 0
      return false
    }
    hosts[id, default: Host()].failures += 1
    hosts[id, default: Host()].inRow += 1
    guard let limit = configuration.consecutiveFailures, hosts[id, default: Host()].inRow >= limit else { return false }
    return eject(id, of: count, now: now)
  }

  private mutating func eject(_ id: Int, of count: Int, now: Instant) -> Bool {
    let ejected = hosts.values.count { $0.ejectedAt != nil }
    guard count > 1, !isEjected(id), ejected == 0 || ejected * 100 < configuration.maxEjectionPercent * count,
      ejected + 1 < count
    else { return false }
    hosts[id, default: Host()].ejectedAt = now
    hosts[id, default: Host()].ejections += 1
    hosts[id, default: Host()].inRow = 0
    return true
  }

  /// What a look at the rates has found.
  struct Findings: Equatable {
    /// Servers that were ejected by it.
    var ejected: [Int] = []
    /// Whether those that are ejected now are others than before.
    var hasChanged = false
  }

  /// Looks at the rates when an interval is over, and ends ejections whose time is up.
  ///
  /// - Parameters:
  ///   - ids: the servers that the channel has.
  ///   - random: draws from 0..<1, for rules that are enforced at times only.
  mutating func evaluate(_ ids: [Int], now: Instant, random: () -> Double = { .random(in: 0..<1) }) -> Findings {
    guard now - evaluatedAt >= configuration.interval else { return Findings() }
    evaluatedAt = now
    var findings = Findings()
    let before = Set(hosts.keys.filter { isEjected($0) })
    hosts = hosts.filter { ids.contains($0.key) }
    for id in outliers() where isEnforced(configuration.successRateEnforcement, random) {
      if eject(id, of: ids.count, now: now) { findings.ejected.append(id) }
    }
    if let rule = configuration.failurePercentage {
      for id in failing(rule) where isEnforced(rule.enforcement, random) {
        if eject(id, of: ids.count, now: now) { findings.ejected.append(id) }
      }
    }
    for id in Array(hosts.keys) {
      hosts[id]!.successes = 0
      hosts[id]!.failures = 0
      if let ejectedAt = hosts[id]!.ejectedAt {
        let time = min(
          configuration.baseEjectionTime * hosts[id]!.ejections,
          max(configuration.maxEjectionTime, configuration.baseEjectionTime))
        if now - ejectedAt >= time { hosts[id]!.ejectedAt = nil }
      } else if hosts[id]!.ejections > 0 {
        hosts[id]!.ejections -= 1
      }
    }
    findings.hasChanged = Set(hosts.keys.filter { isEjected($0) }) != before
    return findings
  }

  private func isEnforced(_ percent: Int, _ random: () -> Double) -> Bool {
    percent >= 100 || random() * 100 < Double(percent)
  }

  /// Those that fail too often, whatever the others do.
  private func failing(_ rule: OutlierDetection.FailurePercentage) -> [Int] {
    let called = hosts.filter { $0.value.calls >= max(1, rule.requestVolume) }
    guard called.count >= max(1, rule.minimumHosts) else { return [] }
    return called.filter { $0.value.failures * 100 > rule.threshold * $0.value.calls }.keys.sorted()
  }

  /// Those whose success rate is far below the mean.
  private func outliers() -> [Int] {
    guard let factor = configuration.successRateDeviations else { return [] }
    let rates = hosts.compactMap { id, host -> (id: Int, rate: Double)? in
      let calls = host.calls
      return calls >= max(1, configuration.requestVolume) ? (id, Double(host.successes) / Double(calls)) : nil
    }
    guard rates.count >= max(1, configuration.minimumHosts) else { return [] }
    let mean = rates.map(\.rate).reduce(0, +) / Double(rates.count)
    let variance = rates.map { ($0.rate - mean) * ($0.rate - mean) }.reduce(0, +) / Double(rates.count)
    let threshold = mean - factor * variance.squareRoot()
    return rates.filter { $0.rate < threshold }.map(\.id).sorted()
  }
}
