import EventLoop
import Transport

/// What a channel holds for one address: the attempt to connect, then the connection.
final class Subchannel {
  let id: Int
  let address: SocketAddress
  /// When the server's SETTINGS must be here.
  let dueAt: Instant
  var attempt: Connection?
  var connection: ClientConnection?

  init(id: Int, address: SocketAddress, dueAt: Instant) {
    self.id = id
    self.address = address
    self.dueAt = dueAt
  }
}

/// Follows an attempt to connect up to the moment when the connection can carry data.
final class ConnectAttempt: ConnectionDelegate {
  private let ready: () -> Void
  private let failed: ((any Error)?) -> Void

  init(ready: @escaping () -> Void, failed: @escaping ((any Error)?) -> Void) {
    self.ready = ready
    self.failed = failed
  }

  func connectionReady() { ready() }
  func received(_ bytes: UnsafeRawBufferPointer) {}
  func readClosed() {}
  func closed(_ error: (any Error)?) { failed(error) }
}
