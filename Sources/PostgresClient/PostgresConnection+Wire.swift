import CLibPQ
import DequeModule
import EventLoop

// Sending at the end of the tick, and taking answers as they come.
extension PostgresConnection {
  func ready(_ readiness: Interest) {
    guard state != .connecting else { return continueConnecting() }
    if readiness.contains(.readable) {
      guard PQconsumeInput(handle) == 1 else { return fail(lost()) }
      lastReceivedAt = reactor.now
      takeAnswers()
      takeNotifications()
      if state == .ready, PQstatus(handle) == CONNECTION_BAD { return fail(lost()) }
    }
    if state == .ready { push() }
  }

  func flush() {
    while state == .ready, let exchange = outbox.popFirst() { send(exchange) }
    if state == .ready { push() }
  }

  /// Hands libpq's buffer to the system; watches for room when it does not take all.
  private func push() {
    switch PQflush(handle) {
    case 0: watch(.readable)
    case 1: watch([.readable, .writable])
    default: fail(lost())
    }
  }

  private func lost() -> PostgresError { .connection(handle, otherwise: "the server closed the connection") }

  // MARK: Sending

  private func send(_ exchange: Exchange) {
    guard write(exchange) else {
      let error = lost()
      fail(error)
      exchange.finish(PostgresError(error.code, error.message, mayHaveExecuted: exchange.phase == .sent))
      return
    }
  }

  /// False when libpq cannot send any more.
  private func write(_ exchange: Exchange) -> Bool {
    for command in exchange.commands where !prepare(command) { return false }
    exchange.phase = .sent
    exchange.sentAt = .current()
    for command in exchange.commands {
      do {
        guard try send(command) else { return false }
        expected.append(
          .command(exchange, keepsResult: command.keepsResult, identity: command.statement.identity))
      } catch {
        // A parameter that cannot be sent: a statement that fails undoes what stands before it in this exchange.
        exchange.failure = error
        guard PQsendQueryParams(handle, "SELECT 1/0", 0, nil, nil, nil, nil, 1) == 1 else { return false }
        expected.append(.command(exchange, keepsResult: false, identity: nil))
        break
      }
    }
    guard PQpipelineSync(handle) == 1 else { return false }
    expected.append(.sync(exchange))
    return true
  }

  private func send(_ command: Exchange.Command) throws(PostgresError) -> Bool {
    let name = command.statement.identity.flatMap { prepared[$0] }
    return try encoder.withLayout(of: command.parameters) { layout in
      if let name {
        PQsendQueryPrepared(handle, name, layout.count, layout.values, layout.lengths, layout.formats, 1) == 1
      } else {
        PQsendQueryParams(
          handle, command.statement.sql, layout.count, layout.types, layout.values, layout.lengths, layout.formats, 1)
          == 1
      }
    }
  }

  /// Sends a Parse of its own, with a Sync of its own, so that an error elsewhere does not take the preparation along.
  private func prepare(_ command: Exchange.Command) -> Bool {
    guard let identity = command.statement.identity, prepared[identity] == nil else { return true }
    nextStatementNumber += 1
    let name = "\(statementPrefix)\(nextStatementNumber)"
    let types = ParameterEncoder.types(of: command.parameters)
    guard PQsendPrepare(handle, name, command.statement.sql, Int32(types.count), types) == 1,
      PQpipelineSync(handle) == 1
    else { return false }
    prepared[identity] = name
    failedPrepares[identity] = nil
    expected.append(.prepare(identity: identity))
    expected.append(.prepareSync)
    return true
  }

  // MARK: Answers

  private func takeAnswers() {
    while state == .ready, !expected.isEmpty, PQisBusy(handle) == 0 {
      guard let result = PQgetResult(handle) else {
        // The end of one statement's results.
        switch expected.first {
        case .prepare, .command: expected.removeFirst()
        case .prepareSync, .sync, nil: return  // nothing more for now
        }
        continue
      }
      take(result)
    }
  }

  private func take(_ result: OpaquePointer) {
    switch PQresultStatus(result) {
    case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
      if case .command(let exchange, true, _)? = expected.first, !exchange.isAbandoned {
        exchange.results.append(PostgresRows(result))
      } else {
        PQclear(result)
      }
    case PGRES_PIPELINE_SYNC:
      PQclear(result)
      if case .sync(let exchange)? = expected.popFirst() { complete(exchange) }
    case PGRES_PIPELINE_ABORTED:
      PQclear(result)
    default:
      let error = PostgresError(result: result)
      PQclear(result)
      takeFailure(error)
    }
  }

  private func takeFailure(_ error: PostgresError) {
    switch expected.first {
    case .prepare(let identity):
      prepared[identity] = nil
      failedPrepares[identity] = error
    case .command(let exchange, _, let identity):
      var cause = error
      if let identity, error.code.rawValue == "26000" || error.code.rawValue == "0A000" {
        prepared[identity] = nil
        cause = failedPrepares[identity] ?? error
      }
      // Inside a transaction a statement that cannot be prepared fails those that stand before it too.
      if cause.code.rawValue == Self.inFailedTransaction { cause = failedPrepare(of: exchange) ?? cause }
      exchange.failure = exchange.failure ?? cause
    case .sync(let exchange):
      // Every statement went well, but the transaction, which ends with the Sync, could not be committed: a deferred
      // constraint, a serialization failure, a cancellation.
      exchange.failure = exchange.failure ?? error
      passEnd()
    case .prepareSync: passEnd()
    case nil: break
    }
  }

  /// Takes the end of an error's results, which is there at once; the Sync that they belong to is still to come.
  private func passEnd() { PQclear(PQgetResult(handle)) }

  private static let inFailedTransaction = "25P02"

  private func failedPrepare(of exchange: Exchange) -> PostgresError? {
    exchange.commands.lazy.compactMap { [failedPrepares] in $0.statement.identity.flatMap { failedPrepares[$0] } }
      .first { $0.code.rawValue != Self.inFailedTransaction }
  }

  private func takeNotifications() {
    while state == .ready, let notification = PQnotifies(handle) {
      let value = PostgresNotification(
        channel: String(cString: notification.pointee.relname), payload: String(cString: notification.pointee.extra))
      PQfreemem(notification)
      onNotification?(value)
    }
  }
}
