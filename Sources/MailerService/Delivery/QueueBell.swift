import EventLoop
import PostgresClient

/// Lets other mailers know that there is mail for them, and hears it from them: a hint by NOTIFY, which makes them look
/// before their next turn. Looking finds everything without it.
///
/// NOTIFY takes a lock that all of the database's notifying commits share, so it is rung in a transaction of its own, and
/// seldom.
final class QueueBell {
  static let channel = "emailmcp_queue"
  /// Between two rings of one loop.
  static let interval: Duration = .milliseconds(50)

  private let reactor: Reactor
  private let pool: PostgresPool
  private var isRinging = false

  init(reactor: Reactor, pool: PostgresPool) {
    self.reactor = reactor
    self.pool = pool
  }

  func ring() {
    guard !isRinging else { return }
    isRinging = true
    reactor.spawn { [self] in
      do {
        // Over before it is heard: mail that is queued from then on may come after the others' look.
        defer { isRinging = false }
        try await reactor.sleep(for: Self.interval)
      }
      try await pool.query("SELECT pg_notify('emailmcp_queue', '')")
    }
  }

  /// - Parameter heard: on this loop, also after a time in which a ring may have been missed.
  func listen(_ heard: @escaping () -> Void) -> PostgresListener { pool.listen(Self.channel) { _ in heard() } }
}
