import CLibPQ
import EventLoop

extension PostgresConnection {
  /// Connects without blocking the loop: names are resolved beside it, the rest is driven by readiness.
  ///
  /// - Throws: `PostgresError` of code `connection_lost`, or the server's SQLSTATE when it refused; `CancellationError`.
  static func open(_ configuration: PostgresConfiguration, reactor: Reactor) async throws -> PostgresConnection {
    var parameters: [(String, String)] = [
      ("dbname", configuration.url), ("fallback_application_name", configuration.applicationName),
      ("client_encoding", "UTF8"), ("options", configuration.sessionOptions), ("keepalives_idle", "30"),
      ("keepalives_interval", "5"), ("keepalives_count", "3"),
    ]
    if configuration.needsResolving, let host = configuration.host {
      do {
        let addresses = try await reactor.resolve(host: host, port: 0)
        // One host name stands for all addresses when libpq is given the list of both.
        parameters.append(("hostaddr", addresses.map(\.host).joined(separator: ",")))
        parameters.append(("host", addresses.map { _ in host }.joined(separator: ",")))
        if let port = configuration.port {
          parameters.append(("port", addresses.map { _ in port }.joined(separator: ",")))
        }
      } catch let error as SocketAddressError {
        throw PostgresError(.connectionLost, error.message)
      }
    }
    guard let handle = start(parameters) else { throw PostgresError(.connectionLost, "out of memory") }
    let connection = PostgresConnection(handle: handle, configuration: configuration, reactor: reactor)
    guard PQstatus(handle) != CONNECTION_BAD else { throw connection.connectError() }
    PQsetNoticeProcessor(handle, { _, _ in }, nil)
    let timer = reactor.schedule(after: configuration.connectTimeout) {
      guard connection.state == .connecting else { return }
      connection.fail(PostgresError(.connectionLost, "no connection within \(configuration.connectTimeout)"))
    }
    defer { timer.cancel() }
    do {
      try await reactor.wait { (waiter: Waiter<Void>) in
        connection.connectWaiter = waiter
        connection.watch(.writable)  // as if PQconnectPoll had answered "writing"
      }
    } catch {
      connection.close()
      throw error
    }
    // It may have ended between its last step and this task's turn; whoever is given it learns only of later ends.
    guard connection.state == .ready else { throw connection.connectError() }
    return connection
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
    case PGRES_POLLING_READING: watch(.readable)
    case PGRES_POLLING_WRITING: watch(.writable)
    case PGRES_POLLING_OK:
      guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
        fail(connectError())
        return
      }
      state = .ready
      lastReceivedAt = reactor.now
      watch(.readable)
      connectWaiter?.resume(returning: ())
      connectWaiter = nil
    default: fail(connectError())
    }
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
