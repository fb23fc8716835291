internal import EventLoop
internal import RPCRuntime
internal import Synchronization

/// What one loop's servers and channels are doing.
struct LoopReport: Sendable {
  var servers: [ServerReport]
  var channels: [ChannelReport]
}

/// Asks every loop of a process what its servers, connections and channels are doing.
final class RPCReportSources: Sendable {
  private struct Source: Sendable {
    let loop: EventLoop
    /// Called on its loop alone.
    let report: @Sendable (ReportLimits) -> LoopReport
  }

  private let sources = Mutex<[Source]>([])

  /// A loop that has more work than this before it answers is itself what there is to see.
  static let patience = Duration.seconds(2)
  /// Of all loops together: what a page shows at most.
  static let maximumConnections = 200

  /// Called on the loop, in the order of the loops.
  func add(_ serviceLoop: ServiceLoop) {
    nonisolated(unsafe) let serviceLoop = serviceLoop  // touched by `report` alone, which runs on its loop
    let source = Source(loop: serviceLoop.reactor.loop) { serviceLoop.report($0) }
    sources.withLock { $0.append(source) }
  }

  /// - Returns: in the order of the loops; nil for one that did not answer in time.
  func gather(on reactor: Reactor, patience: Duration = patience) async -> [LoopReport?] {
    let sources = sources.withLock { $0 }
    var limits = ReportLimits()
    limits.connections = max(1, Self.maximumConnections / max(1, sources.count))
    let collector = Collector(count: sources.count)
    nonisolated(unsafe) let shared = collector  // touched on this loop alone: `execute` brings it back
    for (index, source) in sources.enumerated() {
      source.loop.execute { [limits, home = reactor.loop] _ in
        let report = source.report(limits)
        home.execute { _ in shared.take(report, at: index) }
      }
    }
    if !collector.isComplete {
      // Cancelled with the request: then nobody reads the page.
      try? await reactor.wait(atMost: patience) { collector.waiter = $0 }
    }
    return collector.reports
  }

  private final class Collector {
    var reports: [LoopReport?]
    var waiter: Waiter<Void>?
    private var missing: Int
    var isComplete: Bool { missing == 0 }

    init(count: Int) {
      reports = Array(repeating: nil, count: count)
      missing = count
    }

    func take(_ report: LoopReport, at index: Int) {
      reports[index] = report
      missing -= 1
      if isComplete { waiter?.resume(returning: ()) }
    }
  }
}
