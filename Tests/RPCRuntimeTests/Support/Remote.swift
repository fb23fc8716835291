import EventLoop

/// Something that lives on a loop of its own, beside the test's: what one loop's ticks hide shows between two.
final class Remote<Value>: @unchecked Sendable {
  // Unchecked: the value is touched on its loop alone.
  private let loop: EventLoop
  private var value: Value?

  init(_ make: @Sendable (Reactor) async throws -> Value) async throws {
    loop = try EventLoop.start(name: "remote")
    try await loop.run { self.value = try await make($0) }
  }

  func run<Result: Sendable>(_ body: @Sendable (Value, Reactor) async throws -> Result) async throws -> Result {
    try await loop.run { try await body(self.value!, $0) }
  }

  func stop(_ end: @Sendable (Value) async -> Void) async {
    await loop.run { _ in
      await end(self.value!)
      self.value = nil
    }
    await loop.shutdown()
  }
}
