import EventLoop
package import HTTPTypes

/// Why a body could not be read.
package struct HTTPBodyError: Error, Equatable, CustomStringConvertible {
  package let status: HTTPResponse.Status
  package let description: String

  package static let tooLarge = Self(status: .contentTooLarge, description: "the body is too large")
  package static let tooSlow = Self(status: .requestTimeout, description: "the body comes too slowly")
  package static let malformed = Self(status: .badRequest, description: "the body is malformed")
  package static let tooMany = Self(status: .serviceUnavailable, description: "too many bodies come at one time")
  package static let connectionClosed = Self(status: .badRequest, description: "the client is gone")
}

/// The side of a connection or stream that fills a body.
protocol BodySource: AnyObject {
  /// The handler reads for the first time.
  func bodyWanted()
  /// The handler took bytes: there is room for more.
  func bodyConsumed(_ count: Int)
}

/// A request's body, read by one handler on the connection's loop. What is not read holds the client back.
package final class HTTPRequestBody {
  /// The declared length, when there is one.
  package let expectedLength: Int?
  private let reactor: Reactor
  private let budget: BodyBudget
  private weak var source: (any BodySource)?
  private var buffer: [UInt8] = []
  /// Bytes that the handler has not taken.
  private(set) var unread = 0
  /// What it counts for in the budget, in bytes: also what was collected, until the handler is done.
  private(set) var heldBytes = 0
  private(set) var isFinished = false
  private var isWanted = false
  private var failure: HTTPBodyError?
  private var waiter: Waiter<Void>?

  init(expectedLength: Int?, reactor: Reactor, budget: BodyBudget, source: (any BodySource)?) {
    self.expectedLength = expectedLength
    self.reactor = reactor
    self.budget = budget
    self.source = source
  }

  deinit { release() }

  /// The next bytes, or `nil` at the end.
  ///
  /// - Throws: `HTTPBodyError` when the rest will not come, `CancellationError`.
  package func next() async throws -> [UInt8]? {
    guard try await hasMore() else { return nil }
    hold(-min(heldBytes, buffer.count))
    return take()
  }

  /// The whole body.
  ///
  /// - Throws: `HTTPBodyError.tooLarge` as soon as it is known to have more than `limit` bytes.
  package func collect(upTo limit: Int) async throws -> [UInt8] {
    if let expectedLength, expectedLength > limit { throw HTTPBodyError.tooLarge }
    while try await hasMore() {
      guard buffer.count <= limit else {
        release()
        throw HTTPBodyError.tooLarge
      }
      if let expectedLength, expectedLength > buffer.count { buffer.reserveCapacity(expectedLength) }
      consume()
    }
    return take()
  }

  /// Waits until there is something unread; false at the end.
  private func hasMore() async throws -> Bool {
    while unread == 0 {
      if let failure { throw failure }
      if isFinished { return false }
      if !isWanted {
        isWanted = true
        source?.bodyWanted()
      }
      try await reactor.wait { waiter = $0 }
    }
    return true
  }

  private func take() -> [UInt8] {
    defer { buffer = [] }
    consume()
    return buffer
  }

  private func consume() {
    let count = unread
    unread = 0
    if count > 0 { source?.bodyConsumed(count) }
  }

  // MARK: The server's side

  func append(_ bytes: UnsafeRawBufferPointer) {
    guard failure == nil else { return }
    buffer.append(contentsOf: bytes)
    unread += bytes.count
    hold(bytes.count)
    wake()
  }

  func finish() {
    isFinished = true
    wake()
  }

  func fail(_ error: HTTPBodyError) {
    guard !isFinished, failure == nil else { return }
    failure = error
    wake()
  }

  /// Makes room for others.
  func giveWay() {
    buffer = []
    unread = 0
    release()
    fail(.tooMany)
  }

  var canGiveWay: Bool { !isFinished && failure == nil }

  /// The handler is done with it.
  func release() { hold(-heldBytes) }

  private func hold(_ change: Int) {
    guard change != 0 else { return }
    heldBytes += change
    budget.changed(self, by: change)
  }

  private func wake() {
    let waiter = self.waiter
    self.waiter = nil
    waiter?.resume(returning: ())
  }
}

/// Judges whether a body comes fast enough; only time that we are willing to read counts.
struct BodyPace {
  private var waited = Duration.zero
  private var bytes = 0

  mutating func received(_ count: Int) { bytes += count }

  mutating func restart() { self = BodyPace() }

  /// Adds waiting time; `false` when a whole window brought too little.
  mutating func waited(_ time: Duration, _ configuration: HTTPServerConfiguration) -> Bool {
    waited += time
    guard waited >= configuration.bodyWindow else { return true }
    let needed = Double(configuration.bodyRate) * waited.inSeconds
    defer { restart() }
    return Double(bytes) >= needed
  }
}
