import CoreMetrics

/// How often the server ended a connection by itself, by reason: `age`, `idle`, `keepalive`, `too_many_pings`.
final class ConnectionMetrics {
  private var counters: [String: Counter] = [:]

  func ending(_ reason: String) {
    let counter =
      counters[reason] ?? Counter(label: "rpc_server_connections_ended_total", dimensions: [("reason", reason)])
    counters[reason] = counter
    counter.increment()
  }
}
