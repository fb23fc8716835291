package import EventLoop
import HTTPTypes
package import TLSSession
import Transport

/// HTTP/1.1 and HTTP/2 on one loop, for one handler. Without TLS the preface tells the protocol (h2c by prior
/// knowledge), with TLS ALPN does. Not Sendable: a process makes one on each of its loops. Ends with `drain` or `close`.
package final class HTTPServer {
  package let reactor: Reactor
  package let configuration: HTTPServerConfiguration
  let handler: HTTPHandler
  let bodies: BodyBudget
  var date = HTTPDate()
  private var listeners: [Listener] = []
  private(set) var connections: [ObjectIdentifier: any ServedConnection] = [:]
  private var sweep: Timer?
  private var lastSweep: Instant
  private(set) var isDraining = false
  private var drainWaiters: [Waiter<Void>] = []

  package init(
    on reactor: Reactor, configuration: HTTPServerConfiguration = HTTPServerConfiguration(),
    handler: @escaping HTTPHandler
  ) {
    self.reactor = reactor
    self.configuration = configuration
    self.handler = handler
    bodies = BodyBudget(configuration)
    lastSweep = reactor.now
  }

  package var connectionCount: Int { connections.count }

  /// Listens at an address; more than one is fine.
  ///
  /// - Returns: the bound address, with the port that the system chose for port 0.
  @discardableResult
  package func listen(_ address: SocketAddress, tls: TLSServerContext? = nil) throws(SystemError) -> SocketAddress {
    let listener = try Listener(on: reactor, address: address, tls: tls, limits: configuration.transport) {
      [weak self] connection in
      if let self { accept(connection) } else { connection.close() }
    }
    listeners.append(listener)
    return listener.address
  }

  /// Takes no new connections, lets requests in flight finish, then closes everything that is left after `timeout`.
  package func drain(timeout: Duration) async {
    stopListening()
    isDraining = true
    for connection in Array(connections.values) { connection.beginDrain() }
    if !connections.isEmpty {
      let timer = reactor.schedule(after: timeout) { [weak self] in self?.close() }
      try? await reactor.wait { drainWaiters.append($0) }
      timer.cancel()
    }
    close()
  }

  /// Closes everything at once; handlers are cancelled.
  package func close() {
    stopListening()
    isDraining = true
    for connection in Array(connections.values) { connection.abort() }
    sweep?.cancel()
    sweep = nil
  }

  private func stopListening() {
    for listener in listeners { listener.close() }
    listeners.removeAll()
  }

  // MARK: Connections

  private func accept(_ connection: Connection) {
    guard connections.count < configuration.maxConnections, !isDraining else {
      if !isDraining { configuration.onLimit("max_connections") }
      connection.close()
      return
    }
    connection.delegate = ProtocolSniffer(connection, server: self)
  }

  func add(_ connection: any ServedConnection) {
    connections[ObjectIdentifier(connection)] = connection
    if sweep == nil { scheduleSweep() }
  }

  func remove(_ connection: any ServedConnection) {
    connections[ObjectIdentifier(connection)] = nil
    guard connections.isEmpty else { return }
    sweep?.cancel()
    sweep = nil
    let waiters = drainWaiters
    drainWaiters = []
    for waiter in waiters { waiter.resume(returning: ()) }
  }

  private func scheduleSweep() {
    lastSweep = reactor.now
    sweep = reactor.schedule(after: configuration.sweepInterval) { [weak self] in
      guard let self else { return }
      let now = reactor.now
      let elapsed = now - lastSweep
      for connection in Array(connections.values) { connection.check(now: now, elapsed: elapsed) }
      limitAnswers()
      if !connections.isEmpty { scheduleSweep() }
    }
  }

  /// For a connection without a request.
  var idleTimeout: Duration { isDraining ? Connection.graceOfDrain : configuration.idleTimeout }

  func limitAnswers() { limitUnsentBytes(of: Array(connections.values), to: configuration.maxUnsentBytes) }

  // MARK: For the connections

  /// Runs the handler; never throws: failures are answers.
  func respond(to request: HTTPServerRequest) async -> HTTPServerResponse {
    defer { request.body.release() }
    do {
      return try await handler(request)
    } catch let error as HTTPBodyError {
      return configuration.errorResponse(error.status, error.description)
    } catch {
      return configuration.errorResponse(.internalServerError, "internal error")
    }
  }
}

/// What the server asks of its connections.
protocol ServedConnection: AnyObject, AnswerHolder {
  /// Looks at the time limits; `elapsed` since the last look.
  func check(now: Instant, elapsed: Duration)
  /// Finish what is in flight, take nothing new, close.
  func beginDrain()
  func abort()
}
