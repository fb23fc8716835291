import TestSupport
import Testing

@testable import EventLoop

@Suite struct TimerHeapTests {
  @Test("random insertions and removals come out in order, removed ones never", arguments: 0..<20 as Range<UInt64>)
  func order(seed: UInt64) async throws {
    try await onLoop { reactor in
      var random = SeededRandom(seed: seed)
      var heap = TimerHeap()
      var expected: [Int64] = []
      for _ in 0..<300 {
        let timer = Timer(deadline: Instant(nanoseconds: .random(in: 0..<100, using: &random)), reactor: reactor) {}
        heap.insert(timer)
        if Bool.random(using: &random) {
          expected.append(timer.deadline.nanoseconds)
        } else {
          heap.remove(timer)
          heap.remove(timer)
        }
      }
      var popped: [Int64] = []
      while let timer = heap.popExpired(Instant(nanoseconds: 49)) { popped.append(timer.deadline.nanoseconds) }
      #expect(popped == expected.filter { $0 < 50 }.sorted())
      #expect((heap.nextDeadline?.nanoseconds ?? 50) >= 50)
    }
  }
}
