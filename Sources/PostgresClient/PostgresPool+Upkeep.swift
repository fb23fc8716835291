import EventLoop
import Logging

// What a pool does of itself: sessions that are old, idle or of no use make way.
extension PostgresPool {
  func scheduleMaintenance() {
    maintenanceTimer = reactor.schedule(after: .seconds(10)) { [weak self] in
      guard let self, !isClosed else { return }
      maintain()
      lookForWrites()
      scheduleMaintenance()
    }
  }

  func maintain() {
    let now = reactor.now
    func isOld(_ connection: PostgresConnection) -> Bool {
      // ± 10 %, by the connection's own process number, so that connections of an age do not end together.
      let factor = 0.9 + 0.2 * Double(UInt32(bitPattern: connection.serverProcess) % 101) / 100
      return (now - connection.openedAt).inSeconds > configuration.maxLifetime.inSeconds * factor
    }
    for connection in idle where isOld(connection) { connection.retireNow() }
    for connection in idle.dropFirst() where now - connection.lastUsedAt > configuration.idleTimeout {
      connection.retireNow()
    }
    for connection in shared where isOld(connection) { connection.isRetired = true }
    for connection in shared.dropFirst()
    where connection.isIdle && now - connection.lastUsedAt > configuration.idleTimeout {
      connection.isRetired = true
    }
    for connection in shared where connection.isRetired && connection.isIdle { connection.close() }
  }

  // MARK: A server that takes no writes

  /// How often sessions are given up while no server takes writes.
  static let leavingInterval: Duration = .seconds(1)

  func leaveServer(after error: any Error) {
    guard configuration.needsWrites, (error as? PostgresError)?.code == .readOnlyTransaction else { return }
    leaveReadOnlyServer()
  }

  /// Who only reads would not notice, and read what is old.
  func lookForWrites() {
    guard configuration.judgesServers, look == nil, !shared.isEmpty || !idle.isEmpty else { return }
    look = reactor.spawn { [self] in
      defer { look = nil }
      let statement: Statement = "SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery()"
      let row = try await (shared.isEmpty ? queryApart(statement) : query(statement)).only()
      if configuration.mustLeave(isReadOnly: try row[0], isStandby: try row[1]) { leaveReadOnlyServer() }
    }
  }

  /// A session stays with the server that it was opened with, also when that has become a standby. New ones find their
  /// way to the server that takes writes; the old ones end with what they have in hand.
  package func leaveReadOnlyServer() {
    if let leftAt, reactor.now - leftAt < Self.leavingInterval { return }
    leftAt = reactor.now
    logger.warning("the database takes no writes; opening new sessions")
    for connection in shared + idle + Array(lent.values) { connection.isRetired = true }
    for connection in idle { connection.close() }
    for listener in listeners.values { listener.listenAnew() }
    pump()
  }
}

extension PostgresConnection {
  func isWaitingFor(_ exchange: Exchange) -> Bool {
    if outbox.contains(where: { $0 === exchange }) { return true }
    return expected.contains {
      if case .sync(let other) = $0 { return other === exchange }
      return false
    }
  }

  func abandonIfOwn(_ exchange: Exchange) {
    if isWaitingFor(exchange) { abandon(exchange) }
  }

  func retireNow() {
    isRetired = true
    close()
  }
}
