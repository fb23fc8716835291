import EventLoop

/// One round trip: statements up to a Sync. Outside an explicit transaction they are one transaction of their own, which
/// commits at the Sync; the first error undoes and skips the rest.
final class Exchange {
  struct Command {
    var statement: Statement
    var parameters: [PostgresValue]
    /// False for what the client adds itself (BEGIN, the tenant): its result is dropped.
    var keepsResult = true
  }

  enum Phase { case queued, sent, done }

  let commands: [Command]
  /// True when the whole exchange is a transaction of its own: after an error of the client's making it may be sent
  /// again, because the server has undone it.
  let isAtomic: Bool
  var phase = Phase.queued
  var results: [PostgresRows] = []
  var failure: PostgresError?
  /// Nobody waits any more: cancelled, or past its deadline.
  var isAbandoned = false
  var attempts = 0
  var sentAt = Instant(nanoseconds: 0)
  var waiter: Waiter<Void>?
  var timer: Timer?
  var onDone: ((Exchange) -> Void)?

  init(_ commands: [Command], isAtomic: Bool) {
    self.commands = commands
    self.isAtomic = isAtomic
  }

  /// Ends the exchange, whichever way; later ends are ignored.
  func finish(_ error: PostgresError? = nil) {
    guard phase != .done else { return }
    phase = .done
    if let error { failure = failure ?? error }
    timer?.cancel()
    timer = nil
    let onDone = self.onDone
    self.onDone = nil
    if let failure { waiter?.resume(throwing: failure) } else { waiter?.resume(returning: ()) }
    waiter = nil
    onDone?(self)
  }

  /// Forgets what a failed attempt left, so that the exchange can be sent again.
  func rewind() {
    phase = .queued
    results.removeAll()
    failure = nil
  }

  static func tenant(_ tenant: String) -> Command {
    Command(
      statement: "SELECT set_config('emailmcp.tenant_id', $1, true)", parameters: [.text(tenant)], keepsResult: false)
  }
}
