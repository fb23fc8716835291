import Foundation
import Testing

@testable import MailerService

/// Seeds 1 to SIMULATION_SEEDS; CI's number takes seconds. The full count, on all cores, and one seed with its story:
///
///     SIMULATION_SEEDS=1000000 swift test --filter SimulationTests
///     SIMULATION_SEED=17 swift test --filter SimulationTests/holds
@Suite("The whole mailer, simulated")
struct SimulationTests {
  static let environment = ProcessInfo.processInfo.environment
  static let seeds = environment["SIMULATION_SEEDS"].flatMap(UInt64.init) ?? 1000
  /// A flaw must show within so many.
  static let seedsOfAFlaw: UInt64 = 8000

  @Test("No seed loses a mail, sends one twice, tells what is not so, or leaves one open")
  func holds() async throws {
    if let seed = Self.environment["SIMULATION_SEED"].flatMap(UInt64.init) {
      let report = Simulation.run(seed: seed, log: { print($0) })
      #expect(report.violation == nil)
      return
    }
    let total = try await Self.run(Self.seeds)
    // A simulation in which nothing goes wrong shows nothing.
    for fault in [
      "crash", "pause", "cut off the database", "database restarts", "drain", "clock jumps", "lost question",
      "lost answer of the database", "slow transaction", "no token", "slow token", "slow answer", "late connection",
      "late arrival", "no connection",
      "refused stream", "cut on the way", "lost answer of Gmail", "empty answer", "5xx after taking", "5xx", "429",
      "403 rate", "403 project", "403 of a proxy", "401", "400",
    ] {
      #expect(total.faults[fault, default: 0] > 0, "no \(fault)")
    }
    for status in [SimulatedDatabase.Status.success, .failed, .unknown, .cancelled] {
      #expect(total.statuses[status, default: 0] > 0, "no \(status)")
    }
    let statuses = total.statuses.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
    print("\(Self.seeds) seeds, \(total.events) events: \(statuses)")
  }

  /// Seeds 1 to `count` over all cores, summed up; the first violation fails the test.
  static func run(_ count: UInt64) async throws -> Simulation.Report {
    let lanes = UInt64(max(1, ProcessInfo.processInfo.activeProcessorCount))
    return await withTaskGroup(of: Simulation.Report.self) { group in
      for lane in 0..<lanes {
        group.addTask {
          var sum = Simulation.Report(seed: 0, violation: nil, trace: 0)
          for seed in stride(from: lane + 1, through: count, by: Int(lanes)) {
            let report = Simulation.run(seed: seed)
            await Task.yield()
            if let violation = report.violation { Issue.record("seed \(seed): \(violation)") }
            sum.add(report)
          }
          return sum
        }
      }
      var sum = Simulation.Report(seed: 0, violation: nil, trace: 0)
      for await lane in group { sum.add(lane) }
      return sum
    }
  }

  @Test("The same seed is the same run to the last event; another one is another")
  func repeats() {
    var traces: Set<UInt64> = []
    for seed in 1...30 as ClosedRange<UInt64> {
      let first = Simulation.run(seed: seed)
      #expect(first == Simulation.run(seed: seed))
      traces.insert(first.trace)
    }
    #expect(traces.count == 30)
  }

  @Test("A mailer built wrong is caught, and by the same seed again", arguments: Flaw.allCases)
  func catches(flaw: Flaw) async {
    for seed in 1...Self.seedsOfAFlaw {
      let report = Simulation.run(seed: seed, flaw: flaw)
      await Task.yield()
      guard let violation = report.violation else { continue }
      #expect(Simulation.run(seed: seed, flaw: flaw) == report)
      print("\(flaw): seed \(seed): \(violation)")
      return
    }
    Issue.record("\(flaw) is not noticed in \(Self.seedsOfAFlaw) seeds")
  }
}

extension Simulation.Report {
  mutating func add(_ other: Self) {
    events += other.events
    faults.merge(other.faults, uniquingKeysWith: +)
    statuses.merge(other.statuses, uniquingKeysWith: +)
    longest = max(longest, other.longest)
  }
}
