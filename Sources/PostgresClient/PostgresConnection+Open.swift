import CLibPQ
import EventLoop

extension PostgresConnection {
  /// Connects without blocking the loop: names are resolved beside it, the rest is driven by readiness.
  ///
  /// - Throws: `PostgresError` of code `connection_lost`, or the server's SQLSTATE when it refused; `CancellationError`.
  static func open(for pool: PostgresPool) async throws -> PostgresConnection {
    let (configuration, reactor) = (pool.configuration, pool.reactor)
    let addresses = pool.silentServers.order(try await configuration.addresses(on: reactor))
    guard let handle = start(parameters(configuration, addresses)) else {
      throw PostgresError(.connectionLost, "out of memory")
    }
    let connection = PostgresConnection(handle: handle, configuration: configuration, reactor: reactor)
    guard PQstatus(handle) != CONNECTION_BAD else { throw connection.connectError() }
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
    let attempt = ConnectAttempt(pool, addresses)
    connection.attempt = attempt
    let limit = reactor.schedule(after: configuration.connectTimeout) {
      attempt.giveUp(connection, "no connection within \(configuration.connectTimeout)")
    }
    defer {
      limit.cancel()
      attempt.end()
      connection.attempt = nil
    }
    do {
      try await reactor.wait { (waiter: Waiter<Void>) in
        connection.connectWaiter = waiter
        connection.goOn(.writable)  // as if PQconnectPoll had answered "writing"
      }
    } catch {
      connection.close()
      throw error
    }
    // It may have ended between its last step and this task's turn; whoever is given it learns only of later ends.
    guard connection.state == .ready else { throw connection.connectError() }
    return connection
  }

  private static func parameters(
    _ configuration: PostgresConfiguration, _ addresses: [ServerAddress]
  ) -> [(String, String)] {
    var parameters: [(String, String)] = [
      ("dbname", configuration.url), ("fallback_application_name", configuration.applicationName),
      ("client_encoding", "UTF8"), ("options", configuration.sessionOptions), ("keepalives_idle", "30"),
      ("keepalives_interval", "5"), ("keepalives_count", "3"), ("tcp_user_timeout", "10000"),
    ]
    // One host name stands for all addresses when libpq is given the list of both. What is empty counts as not given.
    for (keyword, part) in [("host", \ServerAddress.host), ("hostaddr", \.numeric), ("port", \.port)]
    where addresses.contains(where: { !$0[keyPath: part].isEmpty }) {
      parameters.append((keyword, addresses.map { $0[keyPath: part] }.joined(separator: ",")))
    }
    return parameters
  }

  private static func start(_ parameters: [(String, String)]) -> OpaquePointer? {
    var keywords: [UnsafePointer<CChar>?] = []
    var values: [UnsafePointer<CChar>?] = []
    var owned: [UnsafeMutablePointer<CChar>] = []
    defer { for pointer in owned { pointer.deallocate() } }
    func copy(_ text: String) -> UnsafePointer<CChar> {
      let bytes = text.utf8CString
      let pointer = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
      bytes.withUnsafeBufferPointer { pointer.initialize(from: $0.baseAddress!, count: $0.count) }
      owned.append(pointer)
      return UnsafePointer(pointer)
    }
    for (keyword, value) in parameters {
      keywords.append(copy(keyword))
      values.append(copy(value))
    }
    keywords.append(nil)
    values.append(nil)
    return PQconnectStartParams(keywords, values, 1)
  }

  func continueConnecting() {
    switch PQconnectPoll(handle) {
    case PGRES_POLLING_READING: goOn(.readable)
    case PGRES_POLLING_WRITING: goOn(.writable)
    case PGRES_POLLING_OK:
      guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
        fail(connectError())
        return
      }
      state = .ready
      attempt?.succeeded()
      lastReceivedAt = reactor.now
      watch(.readable)
      connectWaiter?.resume(returning: ())
      connectWaiter = nil
    default: fail(connectError())
    }
  }

  private func goOn(_ interest: Interest) {
    watch(interest)
    attempt?.look(at: self)
  }

  /// libpq may have closed one socket and opened another since the last call.
  func watch(_ interest: Interest) {
    let fd = PQsocket(handle)
    guard fd >= 0 else {
      fail(PostgresError(.connectionLost, "the connection has no socket"))
      return
    }
    do {
      if let watched, watched.fd == fd, state == .ready {
        if watched.interest != interest { try reactor.update(fd, interest) }
      } else {
        if let watched { reactor.deregister(watched.fd) }
        watched = nil
        try reactor.register(fd, interest, self)
      }
      watched = (fd, interest)
    } catch {
      fail(PostgresError(.connectionLost, "\(error)"))
    }
  }

  private func connectError() -> PostgresError { .connection(handle, otherwise: "the connection failed") }
}

/// Where a session that is being opened has come to in the list of servers, and how long that one may keep silent.
final class ConnectAttempt {
  private let pool: PostgresPool
  private let addresses: [ServerAddress]
  private var asked: ServerAddress?
  private var timer: Timer?

  init(_ pool: PostgresPool, _ addresses: [ServerAddress]) {
    self.pool = pool
    self.addresses = addresses
  }

  /// After each step: libpq goes on to the next server by itself when one refuses. The last has all the time that is left.
  func look(at connection: PostgresConnection) {
    guard let server = addresses.first(where: connection.isAsking), server != asked else { return }
    asked = server
    timer?.cancel()
    guard server != addresses.last else { return }
    let silenceTimeout = pool.configuration.silenceTimeout
    timer = pool.reactor.schedule(after: silenceTimeout) { [self] in
      giveUp(connection, "\(server) kept silent for \(silenceTimeout)")
    }
  }

  /// The next attempt begins with the servers that did not keep silent.
  func giveUp(_ connection: PostgresConnection, _ reason: String) {
    guard connection.state == .connecting else { return }
    if let asked { pool.silentServers.keptSilent(asked) }
    connection.fail(PostgresError(.connectionLost, reason))
  }

  func succeeded() { if let asked { pool.silentServers.answered(asked) } }

  func end() { timer?.cancel() }
}

extension PostgresConnection {
  fileprivate func isAsking(_ server: ServerAddress) -> Bool {
    func text(_ value: UnsafeMutablePointer<CChar>?) -> String { value.map { String(cString: $0) } ?? "" }
    guard server.port.isEmpty || server.port == text(PQport(handle)) else { return false }
    return server.numeric.isEmpty ? server.host == text(PQhost(handle)) : server.numeric == text(PQhostaddr(handle))
  }
}
