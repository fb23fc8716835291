import EventLoop
import Transport

extension RPCServer {
  /// What the server is doing now. Costs time in proportion to its connections.
  package func report(_ limits: ReportLimits = ReportLimits()) -> ServerReport {
    let now = Instant.current()
    // The busiest first, then the oldest.
    let shown = connections.values.sorted {
      ($1.calls.count, $0.openedAt) < ($0.calls.count, $1.openedAt)
    }.prefix(limits.connections)
    return ServerReport(
      addresses: listeners.map { $0.address.description }, isDraining: isDraining, runningCalls: runningHandlers,
      queuedCalls: queue.count, callLimit: admission.limit, shedCalls: admission.shedCount,
      connectionCount: connections.count, connections: shown.map { $0.report(limits, now: now) })
  }
}
