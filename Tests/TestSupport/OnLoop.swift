package import EventLoop

/// Runs `body` on an event loop of its own, which ends with it.
package func onLoop<T: Sendable>(_ body: @Sendable (Reactor) async throws -> T) async throws -> T {
  let loop = try EventLoop.start(name: "test")
  do {
    let value = try await loop.run(body)
    await loop.shutdown()
    return value
  } catch {
    await loop.shutdown()
    throw error
  }
}
