import EventLoop

/// Bounds the bytes of large mail from the queue that a loop has in hand. Who finds no room waits, in the order of coming;
/// a mail alone always has it.
final class PayloadRoom {
  /// Two of the largest that Gmail takes, or some hundred that are just too large to come with their claim.
  static let capacity = 64 << 20

  private let reactor: Reactor
  private(set) var taken = 0
  private var waiting: [(count: Int, waiter: Waiter<Void>)] = []

  init(reactor: Reactor) { self.reactor = reactor }

  /// Returns when there is room for so many bytes; whoever has it gives it back by `leave`.
  func enter(_ count: Int) async throws {
    if waiting.isEmpty, fits(count) {
      taken += count
      return
    }
    try await reactor.wait { waiting.append((count, $0)) }
  }

  func leave(_ count: Int) {
    taken -= count
    while let next = waiting.first, fits(next.count) {
      waiting.removeFirst()
      // One that was cancelled takes nothing.
      guard next.waiter.isPending else { continue }
      taken += next.count
      next.waiter.resume(returning: ())
    }
  }

  private func fits(_ count: Int) -> Bool { taken == 0 || taken + count <= Self.capacity }
}
