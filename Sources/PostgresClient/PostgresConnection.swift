import CLibPQ
import DequeModule
import EventLoop
import Glibc

/// One session with the server, in pipeline mode: exchanges are sent as they come and answered in order.
///
/// Owns the libpq connection and its descriptor; lives on its loop.
final class PostgresConnection: ReadinessHandler, Flushable {
  enum State: Equatable { case connecting, ready, closed }

  /// What the server will answer next, in order.
  enum Expectation {
    case prepare(identity: UInt)
    case prepareSync
    case command(Exchange, keepsResult: Bool, identity: UInt?)
    case sync(Exchange)
  }

  let reactor: Reactor
  let configuration: PostgresConfiguration
  let handle: OpaquePointer
  var state = State.connecting
  var isFlushScheduled = false
  let openedAt: Instant
  var lastUsedAt: Instant
  /// No new exchanges: it is to be closed when it is done.
  var isRetired = false

  var outbox = Deque<Exchange>()
  var expected = Deque<Expectation>()
  private(set) var depth = 0
  var prepared: [UInt: String] = [:]
  var failedPrepares: [UInt: PostgresError] = [:]
  var nextStatementNumber = 0
  /// No other session's: a pooler that lends servers by the transaction would else run that one's statement as ours.
  let statementPrefix = "s\(UInt32.random(in: .min ... .max))_"
  var encoder = ParameterEncoder()

  /// Cancel requests on their way, and when the last one left: a cancel may hit the statement after the one it meant.
  var cancelsUnderWay = 0
  var lastCancelAt = Instant(nanoseconds: .min)
  var lastReceivedAt: Instant

  var connectWaiter: Waiter<Void>?
  /// While it connects.
  var attempt: ConnectAttempt?
  /// The descriptor that is registered, and what for: libpq may change it while it connects.
  var watched: (fd: Int32, interest: Interest)?

  /// Called once, when the connection has ended.
  var onClose: ((PostgresConnection, PostgresError) -> Void)?
  /// Called when an exchange has ended and there is room for another.
  var onProgress: ((PostgresConnection) -> Void)?
  var onNotification: ((PostgresNotification) -> Void)?

  init(handle: OpaquePointer, configuration: PostgresConfiguration, reactor: Reactor) {
    self.handle = handle
    self.configuration = configuration
    self.reactor = reactor
    openedAt = reactor.now
    lastUsedAt = reactor.now
    lastReceivedAt = reactor.now
  }

  deinit { PQfinish(handle) }

  var isIdle: Bool { depth == 0 && cancelsUnderWay == 0 }

  /// The server's view: false inside a transaction block, open or failed.
  var isOutsideTransaction: Bool { PQtransactionStatus(handle) == PQTRANS_IDLE }

  var serverProcess: Int32 { PQbackendPID(handle) }

  // MARK: Exchanges

  func submit(_ exchange: Exchange) {
    guard state == .ready else {
      exchange.finish(PostgresError(.connectionLost, "the connection is closed"))
      return
    }
    depth += 1
    lastUsedAt = reactor.now
    outbox.append(exchange)
    reactor.setNeedsFlush(self)
  }

  /// The caller no longer waits. What was not sent yet is never sent.
  func abandon(_ exchange: Exchange) {
    exchange.isAbandoned = true
    if exchange.phase == .queued, let index = outbox.firstIndex(where: { $0 === exchange }) {
      outbox.remove(at: index)
      depth -= 1
      onProgress?(self)
    } else if exchange.phase == .sent, isExecuting(exchange) {
      cancelRunningStatement()
    }
  }

  private func isExecuting(_ exchange: Exchange) -> Bool {
    for expectation in expected {
      switch expectation {
      case .prepare, .prepareSync: continue
      case .command(let running, _, _), .sync(let running): return running === exchange
      }
    }
    return false
  }

  func complete(_ exchange: Exchange) {
    depth -= 1
    lastUsedAt = reactor.now
    if let failure = exchange.failure, shouldRepeat(exchange, failure) {
      exchange.attempts += 1
      exchange.rewind()
      submit(exchange)
    } else {
      exchange.finish()
    }
    cancelIfAbandoned()
    onProgress?(self)
  }

  /// A statement that nobody waits for is not to hold up those behind it.
  private func cancelIfAbandoned() {
    if case .command(let running, _, _)? = expected.first, running.isAbandoned { cancelRunningStatement() }
  }

  /// A statement may suffer for something that is not its own: a cancel meant for the one before it, or a plan that a
  /// migration made stale. The server has undone the exchange, so it is sent again.
  private func shouldRepeat(_ exchange: Exchange, _ failure: PostgresError) -> Bool {
    guard exchange.isAtomic, !exchange.isAbandoned, exchange.attempts < 3, state == .ready else { return false }
    switch failure.code.rawValue {
    case PostgresError.Code.queryCanceled.rawValue: return lastCancelAt >= exchange.sentAt
    case "26000": return true  // unknown prepared statement: it was forgotten when this answer came
    case "0A000": return failure.message.contains("cached plan")
    default: return false
    }
  }

  // MARK: Cancel

  /// Of their own, because a server that has died holds a thread until the system gives it up, and the shared ones look up
  /// the name of the server that takes its place.
  private static let cancelThreads = BlockingPool(limit: 4)

  func cancelRunningStatement() {
    guard state == .ready, cancelsUnderWay == 0, let request = PQgetCancel(handle) else { return }
    cancelsUnderWay += 1
    lastCancelAt = .current()
    let owner = CancelRequest(pointer: request)
    reactor.spawn { [self] in
      try? await reactor.offload(on: Self.cancelThreads) { owner.send() }
      cancelsUnderWay -= 1
      lastCancelAt = .current()
      onProgress?(self)
      // A request that comes before its statement has begun is lost: ask again while the statement is there.
      reactor.schedule(after: .milliseconds(100)) { [weak self] in self?.cancelIfAbandoned() }
    }
  }

  // MARK: The end

  func close() { fail(PostgresError(.connectionLost, "the connection was closed")) }

  /// Ends the connection and everything on it.
  func fail(_ error: PostgresError) {
    guard state != .closed else { return }
    state = .closed
    if let watched { reactor.deregister(watched.fd) }
    watched = nil
    connectWaiter?.resume(throwing: error)
    connectWaiter = nil
    let sent = PostgresError(error.code, error.message, mayHaveExecuted: true)
    var last: Exchange?
    for expectation in expected {
      if case .sync(let exchange) = expectation, exchange !== last {
        last = exchange
        exchange.finish(sent)
      }
    }
    let unsent = outbox
    expected.removeAll()
    outbox.removeAll()
    depth = 0
    for exchange in unsent { exchange.finish(PostgresError(error.code, error.message)) }
    let onClose = self.onClose
    self.onClose = nil
    onProgress = nil
    onNotification = nil
    onClose?(self, error)
  }
}

/// A message of NOTIFY.
package struct PostgresNotification: Sendable, Equatable {
  package let channel: String
  package let payload: String
}

/// Owns libpq's cancel handle, which may be used from any thread.
private final class CancelRequest: @unchecked Sendable {
  // @unchecked: PQcancel is documented to be thread-safe, and `pointer` never changes.
  private let pointer: OpaquePointer
  init(pointer: OpaquePointer) { self.pointer = pointer }
  deinit { PQfreeCancel(pointer) }

  /// Blocks until the server has passed the request on.
  func send() {
    var message = [CChar](repeating: 0, count: 256)
    _ = PQcancel(pointer, &message, Int32(message.count))
  }
}
