import Testing

@testable import Transport

@Suite("Answers that hold too much on a loop")
struct AnswerHolderTests {
  /// Holds some bytes, of which it can give up all but those that move.
  private final class Holder: AnswerHolder {
    var unsentBytes: Int
    let moving: Int
    var limits: [Int] = []

    init(_ bytes: Int, moving: Int = 0) {
      unsentBytes = bytes
      self.moving = moving
    }

    func dropAnswers(downTo limit: Int) {
      limits.append(limit)
      unsentBytes = max(min(unsentBytes, limit), moving)
    }
  }

  @Test("At the limit nobody gives way; above it who holds most, and no more than is too much")
  func most() {
    let holders = [Holder(10), Holder(40), Holder(30), Holder(0)]
    limitUnsentBytes(of: holders, to: 80)
    #expect(holders.allSatisfy { $0.limits.isEmpty })
    limitUnsentBytes(of: holders, to: 79)
    #expect(holders.map(\.limits) == [[], [39], [], []])
    #expect(holders.map(\.unsentBytes) == [10, 39, 30, 0])
  }

  @Test("What moves stays, and the next largest give way for it; who holds nothing is not asked")
  func moving() {
    let holders = [Holder(10), Holder(40, moving: 35), Holder(30), Holder(0)]
    limitUnsentBytes(of: holders, to: 20)
    #expect(holders.map(\.limits) == [[0], [0], [0], []])
    #expect(holders.map(\.unsentBytes) == [0, 35, 0, 0])
    let even = [Holder(50, moving: 50), Holder(40), Holder(30)]
    limitUnsentBytes(of: even, to: 100)
    #expect(even.map(\.limits) == [[30], [20], []])
    #expect(even.map(\.unsentBytes) == [50, 20, 30])
  }
}
