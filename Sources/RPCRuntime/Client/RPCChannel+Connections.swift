import DequeModule
import EventLoop
import HTTP2Session
import Logging
import TLSSession
import Transport

/// The channel's connections: what the balancer decides is done here.
extension RPCChannel {
  var connections: [ClientConnection] { subchannels.values.compactMap(\.connection) + retired }

  func perform(_ actions: [Balancer.Action]) {
    for action in actions {
      switch action {
      case .resolve: resolve()
      case .connect(let id, let address): connect(id, to: address)
      case .drop(let id): drop(id)
      case .stagger(let delay):
        staggerTimer?.cancel()
        staggerTimer = reactor.schedule(after: delay) { [weak self] in
          guard let self else { return }
          perform(balancer.staggerElapsed())
        }
      case .backOff(let key, let delay): backOff(key, delay)
      }
    }
    settle()
  }

  /// The calls that wait learn what has changed.
  func settle() {
    noteState()
    ready = balancer.ready.compactMap { subchannels[$0]?.connection }
    if let outliers {
      let sound = ready.filter { !outliers.isEjected($0.link) }
      if !sound.isEmpty { ready = sound }
    }
    if balancer.state == .failing {
      let hasty = waiting.filter { !$0.waitsForReady }
      guard !hasty.isEmpty else { return }
      waiting.removeAll { !$0.waitsForReady }
      let error = unavailable
      for call in hasty { call.attemptFailed(error) }
    } else {
      serveWaiting()
    }
  }

  func closeConnections() {
    resolution?.cancel()
    for timer in [staggerTimer, resolutionTimer, ticker] { timer?.cancel() }
    for timer in backoffTimers.values { timer.cancel() }
    let subchannels = self.subchannels
    self.subchannels = [:]
    for subchannel in subchannels.values {
      subchannel.attempt?.close()
      guard let connection = subchannel.connection else { continue }
      if connection.isReady { metrics.disconnected(.shutdown) }
      // What the ended calls still have to say, their resets, goes out first.
      connection.closeInOrder()
    }
    for connection in retired { connection.closeInOrder() }
    ready = []
    retired = []
  }

  // MARK: Addresses

  private func resolve() {
    switch target.kind {
    case .addresses(let addresses):
      guard balancer.links.isEmpty else { return }
      perform(balancer.resolved(addresses, isWanted: true, random: .random(in: 0..<1)))
    case .name(let host, let port): perform(schedule.wanted(now: .current()), host, port)
    }
  }

  private func perform(_ action: ResolutionSchedule.Action, _ host: String, _ port: UInt16) {
    switch action {
    case .nothing: break
    case .wait(let time):
      resolutionTimer?.cancel()
      resolutionTimer = reactor.schedule(at: time) { [weak self] in
        guard let self else { return }
        perform(schedule.timeElapsed(now: .current()), host, port)
      }
    case .resolve:
      resolution = reactor.spawn { [weak self, lookUp] in
        do {
          let addresses = try await lookUp(host, port)
          guard let self else { return }
          perform(balancer.resolved(addresses, isWanted: !waiting.isEmpty, random: .random(in: 0..<1)))
        } catch {
          guard let self, !(error is CancellationError) else { return }
          if balancer.links.isEmpty { note("\(error)", error) }
          logger.debug("a name does not resolve", metadata: ["target": "\(target)", "error": "\(error)"])
          perform(balancer.resolutionFailed(random: .random(in: 0..<1)))
        }
        guard let self, balancer.state != .closed else { return }
        perform(schedule.ended(now: .current(), random: .random(in: 0..<1)), host, port)
      }
    }
  }

  // MARK: Connecting

  private func connect(_ id: Int, to address: SocketAddress) {
    let subchannel = Subchannel(id: id, address: address, dueAt: .current() + configuration.connectTimeout)
    subchannels[id] = subchannel
    // Also while nothing connects: a channel that nobody uses gives its attempts up.
    if ticker == nil { tick() }
    let delegate = ConnectAttempt(
      ready: { [weak self, weak subchannel] in
        if let self, let subchannel { transportReady(subchannel) }
      },
      failed: { [weak self, weak subchannel] error in
        guard let self, let subchannel, subchannels[id] === subchannel else { return }
        failed(id, error.map { "\($0)" }, error)
      })
    do {
      subchannel.attempt = try Connection.connect(
        to: address, tls: tlsParameters, timeout: configuration.connectTimeout, on: reactor, delegate: delegate)
    } catch {
      // Not from within the balancer's own decision.
      reactor.schedule(at: reactor.now) { delegate.closed(error) }
    }
  }

  private var tlsParameters: (context: TLSClientContext, peer: ExpectedPeer)? {
    guard case .tls(let context, let peer) = security else { return nil }
    return (context, peer)
  }

  private func transportReady(_ subchannel: Subchannel) {
    guard let transport = subchannel.attempt else { return }
    subchannel.attempt = nil
    let connection = ClientConnection(transport, channel: self, link: subchannel.id, dueAt: subchannel.dueAt)
    transport.delegate = connection
    subchannel.connection = connection
    connection.connectionReady()
  }

  private func note(_ reason: String, _ cause: (any Error)? = nil) {
    lastFailure = RPCError(.unavailable, reason, cause: cause)
  }

  private func note(_ reason: String?, _ cause: (any Error)?, at address: SocketAddress) {
    let reason = reason ?? "the server closed the connection"
    // The system's errors name it already.
    note(reason.contains("\(address)") ? reason : "\(address): \(reason)", cause)
  }

  private func failed(_ id: Int, _ reason: String?, _ cause: (any Error)?) {
    guard let address = subchannels.removeValue(forKey: id)?.address else { return }
    metrics.connectFailed()
    note(reason, cause, at: address)
    perform(balancer.failed(id, random: .random(in: 0..<1)))
  }

  /// The server's SETTINGS are here.
  func connected(_ connection: ClientConnection) {
    guard subchannels[connection.link]?.connection === connection else { return }
    lastFailure = nil
    metrics.connected()
    logger.debug("connected", metadata: ["target": "\(target)", "address": "\(connection.transport.peer)"])
    perform(balancer.connected(connection.link))
    if balancer.checksHealth, let service = configuration.service.healthCheckedService {
      connection.watchHealth(of: service)
    }
  }

  /// The service behind the connection says whether it takes calls.
  func reported(_ connection: ClientConnection, isServing: Bool) {
    guard subchannels[connection.link]?.connection === connection else { return }
    balancer.reported(connection.link, isServing: isServing)
    if !isServing { note("\(connection.transport.peer) is not serving") }
    settle()
  }

  /// This connection takes no more calls.
  func retired(_ connection: ClientConnection, _ reason: DisconnectReason) {
    guard subchannels[connection.link]?.connection === connection else { return }
    retired.append(connection)
    lost(connection, reason)
  }

  func ended(_ connection: ClientConnection) {
    retired.removeAll { $0 === connection }
    guard subchannels[connection.link]?.connection === connection else { return }
    lost(connection, connection.closeReason == nil ? DisconnectReason(connection.failure) : .timedOut)
  }

  private func lost(_ connection: ClientConnection, _ reason: DisconnectReason) {
    // Before its SETTINGS came it was an attempt.
    guard connection.isReady else {
      return failed(connection.link, connection.endReason, connection.failure)
    }
    subchannels[connection.link] = nil
    metrics.disconnected(reason)
    let actions = balancer.lost(
      connection.link, isBrief: reactor.now - connection.openedAt < configuration.backoff.initial,
      isWanted: !waiting.isEmpty, random: .random(in: 0..<1))
    if balancer.state == .failing {
      note(connection.endReason, connection.failure, at: connection.transport.peer)
    }
    perform(actions)
  }

  private func drop(_ id: Int) {
    backoffTimers.removeValue(forKey: id)?.cancel()
    guard let subchannel = subchannels.removeValue(forKey: id) else { return }
    subchannel.attempt?.close()
    guard let connection = subchannel.connection else { return }
    guard connection.isReady else { return connection.closeInOrder() }
    metrics.disconnected(.shutdown)
    retired.append(connection)
    connection.retire()
  }

  private func backOff(_ key: Int, _ delay: Duration) {
    logger.log(
      level: balancer.state == .failing ? .info : .debug, "cannot connect",
      metadata: ["target": "\(target)", "error": "\(unavailable)", "next_attempt_in": "\(delay)"])
    backoffTimers[key]?.cancel()
    backoffTimers[key] = reactor.schedule(after: delay) { [weak self] in
      guard let self else { return }
      backoffTimers[key] = nil
      perform(balancer.backoffElapsed(key, isWanted: !waiting.isEmpty))
    }
  }

  // MARK: Once a second

  private func tick() {
    ticker = reactor.schedule(after: .seconds(1)) { [weak self] in
      guard let self else { return }
      for connection in connections { connection.check() }
      checkIdle(now: reactor.now)
      checkOutliers(now: reactor.now)
      tick()
    }
  }

  func checkOutliers(now: Instant) {
    guard let findings = outliers?.evaluate(balancer.links.map(\.id), now: now) else { return }
    noteEjections(findings.ejected)
    if findings.hasChanged { settle() }
  }

  func noteEjections(_ ids: [Int]) {
    for link in balancer.links where ids.contains(link.id) {
      metrics.ejected()
      logger.info("a server is ejected", metadata: ["target": "\(target)", "address": "\(link.address)"])
    }
  }

  /// Gives the connections up when nobody has called for long.
  func checkIdle(now: Instant) {
    if isUsed || !waiting.isEmpty || connections.contains(where: { $0.callCount > 0 }) {
      isUsed = false
      idleSince = now
    }
    guard let limit = configuration.idleTimeout, now - idleSince >= limit else { return }
    schedule.pause()
    resolutionTimer?.cancel()
    perform(balancer.goIdle())
  }
}
