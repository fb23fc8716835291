package import EventLoop

/// Mail so large that what its bytes cost would keep a loop's other requests waiting.
package enum LargeMail {
  /// From there on it takes about a millisecond.
  private static let leastBytes = 256 << 10
  private static let threads = BlockingPool(limit: 2)

  /// Does what takes as long as there are bytes: at once, or beside the loop when they are many.
  package static func work<Value: Sendable>(
    bytes: Int, on reactor: Reactor, _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    bytes < leastBytes ? try body() : try await reactor.offload(on: threads, body)
  }
}
