package import EventLoop
package import Logging
package import RPCRuntime

/// One loop of a process, as the service's code sees it. Not Sendable: stays on the loop.
package final class ServiceLoop {
  package let reactor: Reactor
  /// 0 for the first loop, which alone does what the process needs only once.
  package let index: Int
  package let count: Int
  package let logger: Logger
  package let readiness: Readiness
  package let metrics: MetricsRegistry
  /// Gives work its spans; nil: nothing is traced.
  package let tracer: Tracer?
  /// What was made here, for the admin port's page.
  private var servers: [RPCServer] = []
  private var channels: [RPCChannel] = []
  private var checks: [Task<Void, any Error>] = []

  package init(
    reactor: Reactor, index: Int, count: Int, logger: Logger, readiness: Readiness, metrics: MetricsRegistry,
    tracer: Tracer? = nil
  ) {
    self.tracer = tracer
    self.reactor = reactor
    self.index = index
    self.count = count
    self.logger = logger
    self.readiness = readiness
    self.metrics = metrics
  }

  package var isFirst: Bool { index == 0 }

  func keep(_ server: RPCServer) { servers.append(server) }
  func keep(_ channel: RPCChannel) { channels.append(channel) }

  func report(_ limits: ReportLimits) -> LoopReport {
    LoopReport(servers: servers.map { $0.report(limits) }, channels: channels.map { $0.report(limits) })
  }

  /// Keeps the readiness of a dependency up to date: runs `check` now and again, quickly while it fails. `check` must
  /// have a deadline of its own. Only the first loop checks; on the others this does nothing.
  ///
  /// - Parameter isVital: whether calls are of no use without it, so that callers are to go to other replicas.
  package func check(
    _ name: String, every interval: Duration = .seconds(1), isVital: Bool = true,
    _ check: @escaping () async throws -> Void
  ) {
    guard isFirst else { return }
    readiness.expect(name, isVital: isVital)
    let (reactor, readiness, logger) = (reactor, readiness, logger)
    checks.append(
      reactor.spawn {
        var wait = Duration.milliseconds(20)
        while true {
          do {
            try await check()
            if readiness.set(name, reason: nil) {
              logger.info("dependency is ready", metadata: ["dependency": "\(name)"])
            }
            wait = interval
          } catch {
            if Task.isCancelled { return }
            let reason = (error as? DatabaseUnfit)?.description ?? "is not to be reached"
            if readiness.set(name, reason: reason) {
              logger.warning("dependency is away", metadata: ["dependency": "\(name)", "error": "\(error)"])
            }
            wait = min(wait * 2, interval)
          }
          try await reactor.sleep(for: wait)
        }
      })
  }

  /// Ends the checks; what they last found stays.
  package func stopChecks() { for task in checks { task.cancel() } }
}
