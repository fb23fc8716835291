import EventLoop
package import HTTPTypes

/// Why a body could not be read.
package struct HTTPBodyError: Error, Equatable, CustomStringConvertible {
  package let status: HTTPResponse.Status
  package let description: String

  package static let tooLarge = Self(status: .contentTooLarge, description: "the body is too large")
  package static let tooSlow = Self(status: .requestTimeout, description: "the body comes too slowly")
  package static let malformed = Self(status: .badRequest, description: "the body is malformed")
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
  private weak var source: (any BodySource)?
  private(set) var buffer: [UInt8] = []
  private(set) var isFinished = false
  private var isWanted = false
  private var failure: HTTPBodyError?
  private var waiter: Waiter<Void>?

  init(expectedLength: Int?, reactor: Reactor, source: (any BodySource)?) {
    self.expectedLength = expectedLength
    self.reactor = reactor
    self.source = source
  }

  /// The next bytes, or `nil` at the end.
  ///
  /// - Throws: `HTTPBodyError` when the rest will not come, `CancellationError`.
  package func next() async throws -> [UInt8]? {
    while true {
      if !buffer.isEmpty {
        let bytes = buffer
        buffer = []
        source?.bodyConsumed(bytes.count)
        return bytes
      }
      if let failure { throw failure }
      if isFinished { return nil }
      if !isWanted {
        isWanted = true
        source?.bodyWanted()
      }
      try await reactor.wait { waiter = $0 }
    }
  }

  /// The whole body.
  ///
  /// - Throws: `HTTPBodyError.tooLarge` as soon as it is known to have more than `limit` bytes.
  package func collect(upTo limit: Int) async throws -> [UInt8] {
    if let expectedLength, expectedLength > limit { throw HTTPBodyError.tooLarge }
    guard var whole = try await next() else { return [] }
    guard whole.count <= limit else { throw HTTPBodyError.tooLarge }
    if let expectedLength, expectedLength > whole.count { whole.reserveCapacity(expectedLength) }
    while let more = try await next() {
      guard whole.count + more.count <= limit else { throw HTTPBodyError.tooLarge }
      whole.append(contentsOf: more)
    }
    return whole
  }

  // MARK: The source's side

  func append(_ bytes: UnsafeRawBufferPointer) {
    buffer.append(contentsOf: bytes)
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
