import EventLoop
import Logging

/// What one loop of each process does for the whole system now and again. Every step is safe to run in many processes at
/// once; each is skipped or cheap where another was just there.
final class Upkeep {
  static let foldInterval: Duration = .seconds(1)
  static let lapsedInterval: Duration = .seconds(1)
  static let figuresInterval: Duration = .seconds(5)
  /// How soon the queue of a tenant that was disabled or enabled follows.
  static let settleInterval: Duration = .seconds(2)
  static let tidyInterval: Duration = .seconds(60)
  /// How much longer than itself a sparing step rests.
  static let sparingFactor = 50

  private let reactor: Reactor
  private let store: MailStore
  private let metrics: MailerMetrics
  private let logger: Logger
  private var tasks: [Task<Void, any Error>] = []

  init(reactor: Reactor, store: MailStore, metrics: MailerMetrics, logger: Logger) {
    self.reactor = reactor
    self.store = store
    self.metrics = metrics
    self.logger = logger
  }

  func start() {
    let (store, metrics) = (store, metrics)
    every(Self.foldInterval, "fold totals") { try await store.foldTotals() }
    every(Self.lapsedInterval, "wake lapsed leases") { try await store.wakeLapsed() }
    every(Self.settleInterval, "hold or release the mail of tenants") { try await store.settleTenants() }
    every(Self.figuresInterval, "read the queue's figures", sparing: true) {
      metrics.queue(try await store.queueFigures())
    }
    every(Self.tidyInterval, "tidy", sparing: true) { try await store.tidy() }
  }

  func stop() async {
    for task in tasks { task.cancel() }
    for task in tasks { _ = await task.result }
  }

  /// - Parameter sparing: a step that costs more the more is queued is made less often then.
  private func every(
    _ interval: Duration, _ what: String, sparing: Bool = false, _ step: @escaping () async throws -> Void
  ) {
    let (reactor, logger) = (reactor, logger)
    tasks.append(
      reactor.spawn {
        while true {
          let start = Instant.current()
          do {
            try await step()
          } catch is CancellationError {
            return
          } catch {
            logger.debug("upkeep failed", metadata: ["step": "\(what)", "error": "\(error)"])
          }
          let pause = sparing ? max(interval, (Instant.current() - start) * Self.sparingFactor) : interval
          try await reactor.sleep(for: pause * Double.random(in: 0.9..<1.1))
        }
      })
  }
}
