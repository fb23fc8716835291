import Testing

@testable import EventLoop

@Suite struct TimerHeapTests {
  @Test("random insertions and removals come out in order, removed ones never", arguments: 0..<20 as Range<UInt64>)
  func order(seed: UInt64) async throws {
    let loop = try EventLoop.start(name: "test")
    await loop.run { reactor in
      var random = SplitMix(state: seed)
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
    await loop.shutdown()
  }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (OOPSLA 2014). Seeded, so a failure repeats.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
