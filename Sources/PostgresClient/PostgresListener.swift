import EventLoop
import Logging

/// A session that LISTENs on one channel, and listens again when it was lost.
package final class PostgresListener {
  package enum Event: Sendable, Equatable {
    /// From now on; what was sent before, or while the session was away, was missed: look for it.
    case listening
    case notification(String)
  }

  private let pool: PostgresPool
  private let channel: String
  private let handler: (Event) -> Void
  private var task: Task<Void, any Error>?
  private var connection: PostgresConnection?

  fileprivate init(_ pool: PostgresPool, _ channel: String, _ handler: @escaping (Event) -> Void) {
    self.pool = pool
    self.channel = channel
    self.handler = handler
  }

  fileprivate func start() {
    pool.listeners[ObjectIdentifier(self)] = self
    task = pool.reactor.spawn { [self] in try await run() }
  }

  /// On another session: the server of this one is not the one to listen to any more.
  func listenAnew() { connection?.fail(PostgresError(.connectionLost, "its server is left")) }

  package func close() async {
    pool.listeners[ObjectIdentifier(self)] = nil
    task?.cancel()
    _ = await task?.result
    task = nil
  }

  private func run() async throws {
    var backoff = PostgresPool.reconnectBackoff
    while !Task.isCancelled {
      do {
        let connection = try await PostgresConnection.open(for: pool)
        self.connection = connection
        defer {
          connection.close()
          self.connection = nil
        }
        try await listen(on: connection) { backoff.reset() }
      } catch is CancellationError {
        throw CancellationError()
      } catch {
        pool.logger.notice("a listening session ended", metadata: ["error": "\(error)", "channel": "\(channel)"])
      }
      try await pool.reactor.sleep(for: backoff.next())
    }
  }

  /// Returns, by throwing, when the session ends.
  private func listen(on connection: PostgresConnection, _ established: () -> Void) async throws {
    connection.onNotification = { [handler] in handler(.notification($0.payload)) }
    let quoted =
      "\"" + channel.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    let exchange = Exchange(
      [Exchange.Command(statement: Statement(composed: "LISTEN \(quoted)"), parameters: [])], isAtomic: true)
    try await pool.reactor.wait { (waiter: Waiter<Void>) in
      exchange.waiter = waiter
      connection.submit(exchange)
    }
    established()
    handler(.listening)
    try await pool.reactor.wait { (waiter: Waiter<Void>) in
      connection.onClose = { _, error in waiter.resume(throwing: error) }
      // It may have ended since it answered.
      guard connection.state == .ready else {
        return waiter.resume(throwing: PostgresError(.connectionLost, "the connection ended"))
      }
    }
  }
}

extension PostgresPool {
  /// Listens on a channel of NOTIFY, on a session beside the pool's. `handler` runs on the loop. Close the listener
  /// before the pool. A notification is a hint: correctness comes from looking.
  package func listen(_ channel: String, _ handler: @escaping (PostgresListener.Event) -> Void) -> PostgresListener {
    let listener = PostgresListener(self, channel, handler)
    listener.start()
    return listener
  }
}
