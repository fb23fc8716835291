import EventLoop

/// A transaction that decides as it goes, on a connection of its own. Lent by `PostgresPool.transaction`; not to be kept.
package final class PostgresTransaction {
  package enum Isolation: Sendable {
    case readCommitted, repeatableReadReadOnly

    var begin: Statement {
      switch self {
      case .readCommitted: "BEGIN"
      case .repeatableReadReadOnly: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
      }
    }
  }

  private enum State { case notBegun, open, ended }

  private let connection: PostgresConnection
  private let tenant: String?
  private let isolation: Isolation
  private let timeout: Duration
  private var state = State.notBegun
  private var failure: PostgresError?
  private var cursors = 0

  init(_ connection: PostgresConnection, tenant: String?, isolation: Isolation, timeout: Duration) {
    self.connection = connection
    self.tenant = tenant
    self.isolation = isolation
    self.timeout = timeout
  }

  /// Runs one statement. After a failure the transaction only rolls back.
  @discardableResult
  package func query(
    _ statement: Statement, _ parameters: [PostgresValue] = [], timeout: Duration? = nil
  ) async throws -> PostgresRows {
    try await run([Exchange.Command(statement: statement, parameters: parameters)], timeout)[0]
  }

  /// Runs the last statement and COMMIT in one round trip. A lost answer leaves open whether it took effect:
  /// `PostgresError.mayHaveExecuted`.
  @discardableResult
  package func commit(
    _ statement: Statement, _ parameters: [PostgresValue] = [], timeout: Duration? = nil
  ) async throws -> PostgresRows {
    try await commit([(statement, parameters)], timeout: timeout)[0]
  }

  package func commit(
    _ statements: [(Statement, [PostgresValue])], timeout: Duration? = nil
  ) async throws -> [PostgresRows] {
    var commands = statements.map { Exchange.Command(statement: $0.0, parameters: $0.1) }
    if state == .notBegun {
      // Everything in one trip: the exchange itself is the transaction.
      if isolation == .readCommitted {
        if let tenant { commands.insert(Exchange.tenant(tenant), at: 0) }
        state = .ended
        return try await exchange(commands, isAtomic: true, timeout)
      }
      commands.insert(contentsOf: opening(), at: 0)
    }
    commands.append(Exchange.Command(statement: "COMMIT", parameters: [], keepsResult: false))
    try check()
    let results = try await exchange(commands, isAtomic: false, timeout)
    state = .ended
    return results
  }

  /// Reads a large result in pieces of at most `rowsPerPiece`, each fetched when `body` is done with the one before:
  /// neither side ever holds more.
  package func stream(
    _ statement: Statement, _ parameters: [PostgresValue] = [], rowsPerPiece: Int = 500, timeout: Duration? = nil,
    _ body: (PostgresRows) async throws -> Void
  ) async throws {
    precondition(rowsPerPiece > 0)
    cursors += 1
    let name = "emailmcp_stream_\(cursors)"
    let fetch = Exchange.Command(
      statement: Statement(composed: "FETCH \(rowsPerPiece) FROM \(name)"), parameters: [])
    var rows = try await run(
      [
        Exchange.Command(
          statement: Statement(composed: "DECLARE \(name) NO SCROLL CURSOR FOR \(statement.sql)"),
          parameters: parameters),
        fetch,
      ], timeout)[1]
    while true {
      if !rows.isEmpty { try await body(rows) }
      if rows.count < rowsPerPiece { break }
      rows = try await run([fetch], timeout)[0]
    }
    _ = try await run(
      [Exchange.Command(statement: Statement(composed: "CLOSE \(name)"), parameters: [])], timeout)
  }

  // MARK: Inside

  private func opening() -> [Exchange.Command] {
    var commands = [Exchange.Command(statement: isolation.begin, parameters: [], keepsResult: false)]
    if let tenant { commands.append(Exchange.tenant(tenant)) }
    return commands
  }

  private func check() throws {
    if let failure { throw failure }
    precondition(state != .ended, "the transaction has ended")
  }

  private func run(_ commands: [Exchange.Command], _ timeout: Duration?) async throws -> [PostgresRows] {
    try check()
    var commands = commands
    if state == .notBegun { commands.insert(contentsOf: opening(), at: 0) }
    state = .open
    return try await exchange(commands, isAtomic: false, timeout)
  }

  private func exchange(
    _ commands: [Exchange.Command], isAtomic: Bool, _ timeout: Duration?
  ) async throws -> [PostgresRows] {
    let exchange = Exchange(commands, isAtomic: isAtomic)
    let reactor = connection.reactor
    do {
      try await reactor.wait { (waiter: Waiter<Void>) in
        exchange.waiter = waiter
        exchange.timer = reactor.schedule(after: timeout ?? self.timeout) {
          waiter.resume(
            throwing: PostgresError(.timeout, "no answer from the database in time", mayHaveExecuted: true))
        }
        connection.submit(exchange)
      }
    } catch {
      exchange.timer?.cancel()
      if exchange.phase != .done {
        exchange.waiter = nil
        connection.abandon(exchange)
      }
      failure = failure ?? error as? PostgresError ?? PostgresError(.queryCanceled, "the task was cancelled")
      throw error
    }
    return exchange.results
  }

  /// Commits what is open.
  func finish() async throws {
    if let failure { throw failure }  // swallowed by the caller; COMMIT would quietly roll back
    guard state == .open else { return }
    _ = try await exchange(
      [Exchange.Command(statement: "COMMIT", parameters: [], keepsResult: false)], isAtomic: false, timeout)
    state = .ended
  }

  /// Rolls back without waiting, also in a cancelled task; `done` is called when the connection is clean, or closed.
  func rollBack(_ done: @escaping () -> Void) {
    guard connection.state == .ready else { return done() }
    if state == .notBegun || (connection.isIdle && connection.isOutsideTransaction) { return done() }
    let connection = self.connection
    let exchange = Exchange(
      [Exchange.Command(statement: "ROLLBACK", parameters: [], keepsResult: false)], isAtomic: false)
    exchange.timer = connection.reactor.schedule(after: .seconds(2)) {
      connection.fail(PostgresError(.connectionLost, "the server is silent"))
    }
    exchange.onDone = { _ in done() }
    connection.submit(exchange)
  }
}
