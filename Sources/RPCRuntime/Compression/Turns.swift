import DequeModule
import EventLoop

/// Lets one task of a loop at a time do something; the others wait in order.
final class Turns {
  private var isTaken = false
  private var waiting: Deque<Waiter<Void>> = []

  /// Waits for the turn. Whoever gets it passes it on.
  ///
  /// - Throws: `CancellationError`; then it is not the caller's turn.
  func take(on reactor: Reactor) async throws {
    guard isTaken else {
      isTaken = true
      return
    }
    try await reactor.wait { waiting.append($0) }
  }

  func pass() {
    while let next = waiting.popFirst() {
      if next.isPending { return next.resume(returning: ()) }
    }
    isTaken = false
  }
}
