import DequeModule
package import EventLoop
package import Logging

/// The connections of one loop to one database.
///
/// Two lanes. The *shared* lane carries single statements and batches: each is one round trip and one transaction, so
/// many callers pipeline over few connections. The *exclusive* lane lends a connection to a transaction that decides as
/// it goes, and to a statement that may take long. Prefer the first for what is quick: `query` and `batch` cost one round
/// trip, tenant included, and wait for those before them.
///
/// Do not use the pool from inside a `transaction` closure: use the closure's transaction.
package final class PostgresPool {
  package let configuration: PostgresConfiguration
  package let reactor: Reactor
  let logger: Logger
  let figures: PostgresFigures

  private(set) var isClosed = false
  var shared: [PostgresConnection] = []
  private var sharedOpening = 0
  private var sharedQueue = Deque<Exchange>()
  var idle: [PostgresConnection] = []
  var lent: [ObjectIdentifier: PostgresConnection] = [:]
  private var exclusiveCount = 0  // idle, lent and opening
  private var exclusiveOpening = 0
  private var exclusiveWaiters = Deque<Waiter<Void>>()
  private var handedOver: [ObjectIdentifier: PostgresConnection] = [:]
  private var openTasks: [Int: Task<Void, any Error>] = [:]
  private var nextOpenTask = 0
  private var backoff = PostgresPool.reconnectBackoff
  private var retryTimer: Timer?
  var maintenanceTimer: Timer?
  private(set) var lastFailure: PostgresError?
  var silentServers = SilentServers()
  /// When sessions were last given up because their server takes no writes.
  var leftAt: Instant?
  var look: Task<Void, any Error>?
  var listeners: [ObjectIdentifier: PostgresListener] = [:]

  static var reconnectBackoff: Backoff {
    Backoff(initial: .milliseconds(50), multiplier: 2, limit: .seconds(1), jitter: 0.2)
  }

  package init(
    _ configuration: PostgresConfiguration, reactor: Reactor, logger: Logger = Logger(label: "postgres")
  ) {
    self.configuration = configuration
    self.reactor = reactor
    self.logger = logger
    figures = PostgresFigures(loop: reactor.loop.name)
    scheduleMaintenance()
  }

  // MARK: One round trip

  /// Runs one statement in a transaction of its own.
  ///
  /// - Parameter tenant: whose rows it may see; without one it sees no tenant's.
  /// - Parameter timeout: for the whole call; the statement is cancelled when it passes.
  /// - Throws: `PostgresError`; `CancellationError` when the task is cancelled (the statement is cancelled too).
  @discardableResult
  package func query(
    _ statement: Statement, _ parameters: [PostgresValue] = [], tenant: String? = nil, timeout: Duration? = nil
  ) async throws -> PostgresRows {
    let command = Exchange.Command(statement: statement, parameters: parameters)
    let exchange = Exchange(tenant.map { [Exchange.tenant($0), command] } ?? [command], isAtomic: true)
    try await run(exchange, timeout)
    return exchange.results[0]
  }

  /// Runs statements one after the other in one transaction and one round trip: all take effect, or none. Answers with
  /// one result each, in order.
  package func batch(
    tenant: String? = nil, timeout: Duration? = nil, _ statements: [(Statement, [PostgresValue])]
  ) async throws -> [PostgresRows] {
    if statements.isEmpty { return [] }
    var commands = statements.map { Exchange.Command(statement: $0.0, parameters: $0.1) }
    if let tenant { commands.insert(Exchange.tenant(tenant), at: 0) }
    let exchange = Exchange(commands, isAtomic: true)
    try await run(exchange, timeout)
    return exchange.results
  }

  /// Runs one statement as `query` does, on a connection that it has to itself. For what may take long: in the shared
  /// lane everything behind it would wait.
  @discardableResult
  package func queryApart(
    _ statement: Statement, _ parameters: [PostgresValue] = [], tenant: String? = nil, timeout: Duration? = nil
  ) async throws -> PostgresRows {
    try await transaction(tenant: tenant, timeout: timeout) { try await $0.commit(statement, parameters) }
  }

  /// Repeats a statement that deals with at most `$1` rows and answers how many those were, each time as `queryApart`
  /// does, until they were fewer: for what may have piled up. A task that is cancelled ends it.
  /// - Parameter parameters: from `$2` on.
  package func repeatApart(
    _ statement: Statement, _ parameters: [PostgresValue] = [], limit: Int32 = 5000, timeout: Duration? = nil
  ) async throws {
    let parameters = [.int4(limit)] + parameters
    while try await queryApart(statement, parameters, timeout: timeout).only().column(0, as: Int.self) >= limit {
      try Task.checkCancellation()
    }
  }

  private func run(_ exchange: Exchange, _ timeout: Duration?) async throws {
    guard !isClosed else { throw PostgresError(.poolClosed, "the pool is closed") }
    let limit = timeout ?? configuration.queryTimeout
    let start = reactor.now
    do {
      try await reactor.wait { (waiter: Waiter<Void>) in
        exchange.waiter = waiter
        submit(exchange, limit)
      }
      figures.finished(.current() - start, failure: nil)
    } catch {
      exchange.timer?.cancel()
      abandon(exchange)
      figures.finished(.current() - start, failure: (error as? PostgresError)?.code)
      leaveServer(after: error)
      throw error
    }
  }

  private func submit(_ exchange: Exchange, _ limit: Duration) {
    guard sharedQueue.isEmpty, let connection = bestShared() else {
      guard sharedQueue.count < configuration.maxWaiting else {
        exchange.finish(PostgresError(.poolExhausted, "\(sharedQueue.count) callers wait for the database already"))
        return
      }
      sharedQueue.append(exchange)
      openSharedIfUseful()
      figures.waiting(sharedQueue.count + exclusiveWaiters.count)
      let patience = min(limit, configuration.acquireTimeout)
      exchange.timer = reactor.schedule(after: patience) { [self] in
        if exchange.phase == .queued, sharedQueue.contains(where: { $0 === exchange }) {
          expire(exchange, unavailable(after: patience))
        } else {
          setDeadline(exchange, max(.zero, limit - patience))
        }
      }
      return
    }
    setDeadline(exchange, limit)
    connection.submit(exchange)
  }

  private func setDeadline(_ exchange: Exchange, _ limit: Duration) {
    exchange.timer = reactor.schedule(after: limit) { [self] in
      expire(
        exchange,
        PostgresError(.timeout, "no answer from the database in time", mayHaveExecuted: exchange.phase == .sent))
    }
  }

  private func expire(_ exchange: Exchange, _ error: PostgresError) {
    exchange.waiter?.resume(throwing: error)  // `run` then abandons the exchange
    exchange.waiter = nil
  }

  private func abandon(_ exchange: Exchange) {
    guard exchange.phase != .done else { return }
    exchange.waiter = nil
    if let index = sharedQueue.firstIndex(where: { $0 === exchange }) {
      sharedQueue.remove(at: index)
      exchange.finish()
      return
    }
    for connection in shared { connection.abandonIfOwn(exchange) }
    watchForSilence(exchange)
  }

  /// An abandoned statement that does not even answer to its cancellation means that the server or the way to it is
  /// gone: its connection is given up.
  private func watchForSilence(_ exchange: Exchange) {
    guard let connection = shared.first(where: { $0.isWaitingFor(exchange) }) else { return }
    let mark = reactor.now
    reactor.schedule(after: .seconds(2)) { [self] in
      guard connection.state == .ready, connection.isWaitingFor(exchange), connection.lastReceivedAt < mark else {
        return
      }
      connection.fail(PostgresError(.connectionLost, "the server is silent"))
      for listener in listeners.values { listener.listenAnew() }
      pump()
    }
  }

  private func bestShared() -> PostgresConnection? {
    var best: PostgresConnection?
    for connection in shared where !connection.isRetired && connection.depth < configuration.maxPipelineDepth {
      if best == nil || connection.depth < best!.depth { best = connection }
    }
    if let best, best.depth > 0 { openSharedIfUseful() }
    return best
  }

  private func unavailable(after patience: Duration) -> PostgresError {
    if let lastFailure { return PostgresError(.connectionLost, lastFailure.message) }
    return PostgresError(.poolTimeout, "no connection became free within \(patience)")
  }

  // MARK: Transactions

  /// Lends a connection to `body` and commits when it returns; a throw rolls back. The first statement carries BEGIN
  /// and the tenant along in its round trip; `PostgresTransaction.commit` carries COMMIT along with the last.
  package func transaction<Value>(
    tenant: String? = nil, isolation: PostgresTransaction.Isolation = .readCommitted, timeout: Duration? = nil,
    _ body: (PostgresTransaction) async throws -> Value
  ) async throws -> Value {
    let connection = try await acquire()
    let transaction = PostgresTransaction(
      connection, tenant: tenant, isolation: isolation, timeout: timeout ?? configuration.queryTimeout)
    do {
      let value = try await body(transaction)
      try await transaction.finish()
      release(connection)
      return value
    } catch {
      leaveServer(after: error)
      transaction.rollBack { [self] in release(connection) }
      throw error
    }
  }

  private func acquire() async throws -> PostgresConnection {
    guard !isClosed else { throw PostgresError(.poolClosed, "the pool is closed") }
    try Task.checkCancellation()
    while let connection = idle.popLast() {
      if connection.state == .ready, !connection.isRetired {
        lend(connection)
        return connection
      }
    }
    guard exclusiveWaiters.count < configuration.maxWaiting else {
      throw PostgresError(.poolExhausted, "\(exclusiveWaiters.count) callers wait for the database already")
    }
    var timer: Timer?
    defer { timer?.cancel() }
    var own: Waiter<Void>?
    do {
      try await reactor.wait { (waiter: Waiter<Void>) in
        own = waiter
        exclusiveWaiters.append(waiter)
        let patience = configuration.acquireTimeout
        timer = reactor.schedule(after: patience) { [self] in waiter.resume(throwing: unavailable(after: patience)) }
        openExclusiveIfUseful()
      }
    } catch {
      exclusiveWaiters.removeAll { $0 === own }
      // The hand-over and the end of patience may have crossed.
      if let own, let connection = handedOver.removeValue(forKey: ObjectIdentifier(own)) { release(connection) }
      throw error
    }
    guard let own, let connection = handedOver.removeValue(forKey: ObjectIdentifier(own)) else {
      throw PostgresError(.poolClosed, "the pool is closed")
    }
    return connection
  }

  private func release(_ connection: PostgresConnection) {
    lent[ObjectIdentifier(connection)] = nil
    guard connection.state == .ready, !isClosed else { return connection.close() }
    guard connection.isOutsideTransaction, !connection.isRetired else { return connection.close() }
    guard connection.isIdle else {
      // A cancel is on its way: lend the connection out only when it has arrived.
      connection.onProgress = { [self] in if $0.isIdle { release($0) } }
      return
    }
    connection.onProgress = nil
    while let waiter = exclusiveWaiters.popFirst() {
      guard waiter.isPending else { continue }
      lend(connection)
      handedOver[ObjectIdentifier(waiter)] = connection
      waiter.resume(returning: ())
      return
    }
    idle.append(connection)
    figures.transactions(lent.count)
  }

  private func lend(_ connection: PostgresConnection) {
    lent[ObjectIdentifier(connection)] = connection
    figures.transactions(lent.count)
  }

  // MARK: Opening

  /// Opens the first connection of each lane, so that the first callers need not wait.
  package func warmUp() {
    openSharedIfUseful()
    if exclusiveCount == 0 { openExclusive() }
  }

  private func openSharedIfUseful() {
    guard !isClosed, retryTimer == nil, sharedOpening == 0, shared.count < configuration.sharedConnections else {
      return
    }
    sharedOpening += 1
    open { [self] connection in
      sharedOpening -= 1
      guard let connection else { return }
      connection.onProgress = { [self] _ in pump() }
      connection.onClose = { [self] closed, error in
        shared.removeAll { $0 === closed }
        connectionEnded(closed, error)
      }
      shared.append(connection)
    }
  }

  private func openExclusiveIfUseful() {
    let waiting = exclusiveWaiters.count
    while !isClosed, retryTimer == nil, exclusiveCount < configuration.exclusiveConnections, exclusiveOpening < waiting
    {
      openExclusive()
    }
  }

  private func openExclusive() {
    exclusiveCount += 1
    exclusiveOpening += 1
    open { [self] connection in
      exclusiveOpening -= 1
      guard let connection else {
        exclusiveCount -= 1
        return
      }
      connection.onClose = { [self] closed, error in
        exclusiveCount -= 1
        idle.removeAll { $0 === closed }
        connectionEnded(closed, error)
      }
      release(connection)
    }
  }

  private func open(_ done: @escaping (PostgresConnection?) -> Void) {
    let number = nextOpenTask
    nextOpenTask += 1
    openTasks[number] = reactor.spawn { [self] in
      defer { openTasks[number] = nil }
      do {
        let connection = try await PostgresConnection.open(for: self)
        backoff.reset()
        lastFailure = nil
        if isClosed {
          done(nil)
          return connection.close()
        }
        done(connection)
        figures.opened()
        pump()
      } catch {
        done(nil)
        if !isClosed { openFailed(error) }
      }
    }
  }

  private func openFailed(_ error: any Error) {
    let failure = error as? PostgresError ?? PostgresError(.connectionLost, "\(error)")
    if lastFailure?.message != failure.message {
      logger.warning("no connection to the database", metadata: ["error": "\(failure)"])
    }
    lastFailure = failure
    figures.openFailed()
    guard retryTimer == nil else { return }
    retryTimer = reactor.schedule(after: backoff.next()) { [self] in
      retryTimer = nil
      if !sharedQueue.isEmpty || shared.isEmpty { openSharedIfUseful() }
      openExclusiveIfUseful()
    }
  }

  private func connectionEnded(_ connection: PostgresConnection, _ error: PostgresError) {
    if !isClosed, !connection.isRetired {
      logger.notice("a connection to the database ended", metadata: ["error": "\(error)"])
    }
    figures.closed()
    if !isClosed, !sharedQueue.isEmpty || !exclusiveWaiters.isEmpty { pump() }
  }

  /// Moves waiting exchanges to connections with room.
  func pump() {
    while let next = sharedQueue.first {
      guard let connection = bestShared() else { break }
      sharedQueue.removeFirst()
      if next.isAbandoned || next.phase == .done { continue }
      connection.submit(next)
    }
    if !sharedQueue.isEmpty { openSharedIfUseful() }
    if !exclusiveWaiters.isEmpty { openExclusiveIfUseful() }
    figures.waiting(sharedQueue.count + exclusiveWaiters.count)
    for connection in shared where connection.isRetired && connection.isIdle { connection.close() }
  }

  /// Ends all connections; what is under way fails. Drain first.
  package func close() async {
    guard !isClosed else { return }
    isClosed = true
    maintenanceTimer?.cancel()
    retryTimer?.cancel()
    let error = PostgresError(.poolClosed, "the pool is closed")
    for exchange in sharedQueue { exchange.finish(error) }
    sharedQueue.removeAll()
    for waiter in exclusiveWaiters { waiter.resume(throwing: error) }
    exclusiveWaiters.removeAll()
    for connection in shared + idle + Array(lent.values) { connection.close() }
    let tasks = Array(openTasks.values) + [look].compactMap { $0 }
    for task in tasks { task.cancel() }
    for task in tasks { _ = await task.result }
  }
}
