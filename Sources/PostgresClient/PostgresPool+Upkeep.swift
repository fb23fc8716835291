import EventLoop

// What a pool does of itself, every few seconds: sessions that are old or idle make way.
extension PostgresPool {
  func scheduleMaintenance() {
    maintenanceTimer = reactor.schedule(after: .seconds(10)) { [weak self] in
      guard let self, !isClosed else { return }
      maintain()
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
