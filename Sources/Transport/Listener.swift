import CLinux
package import EventLoop
package import TLSSession

/// A listening socket of one loop. A process that has several loops opens one listener on each for the same address.
package final class Listener {
  package let address: SocketAddress
  private let socket: Socket
  private let reactor: Reactor
  private let tls: TLSServerContext?
  private let limits: Connection.Limits
  private let accept: (Connection) -> Void
  private var isClosed = false

  /// Connections taken in one turn: a storm of them must not keep the loop from those that it has.
  static let acceptsPerTick = 16
  /// The wait after the process ran out of descriptors or memory; the connections stay in the kernel's queue.
  static let exhaustedPause = Duration.milliseconds(100)

  /// - Parameters:
  ///   - tls: with it, every connection begins with a handshake.
  ///   - accept: is given each new connection, and sets its delegate at once.
  /// - Throws: `SystemError`, for example EADDRINUSE or EACCES.
  package init(
    on reactor: Reactor, address: SocketAddress, tls: TLSServerContext? = nil,
    limits: Connection.Limits = .init(), accept: @escaping (Connection) -> Void
  ) throws(SystemError) {
    socket = try Socket.listening(on: address)
    self.address = socket.localAddress() ?? address
    self.reactor = reactor
    self.tls = tls
    self.limits = limits
    self.accept = accept
    do {
      try reactor.register(socket.descriptor, .readable, self)
    } catch {
      socket.close()
      throw error
    }
  }

  /// Takes no more connections; those taken stay.
  package func close() {
    guard !isClosed else { return }
    isClosed = true
    reactor.deregister(socket.descriptor)
    // While we listen nobody else takes the path over; afterwards it may be the next server's.
    if address.family == .unix { unlink(address.host) }
    socket.close()
  }
}

extension Listener: ReadinessHandler {
  package func ready(_ readiness: Interest) {
    for _ in 0..<Self.acceptsPerTick {
      do {
        guard let (accepted, peer) = try socket.accept() else { return }
        accept(try Connection.accepted(accepted, peer: peer, tls: tls, limits: limits, on: reactor))
      } catch {
        return pause()
      }
    }
  }

  private func pause() {
    try? reactor.update(socket.descriptor, [])
    reactor.schedule(after: Self.exhaustedPause) { [weak self] in
      guard let self, !isClosed else { return }
      try? reactor.update(socket.descriptor, .readable)
    }
  }
}
