import EventLoop
import Testing

@testable import Transport

@Suite struct OutputWatchTests {
  /// What a watch with a limit of ten seconds says to (second, bytes that wait, bytes that were sent).
  private func verdicts(_ looks: [(at: Int64, waiting: Int, sent: Int)]) -> [Bool] {
    var watch = OutputWatch()
    return looks.map { look in
      watch.isStalled(
        waiting: look.waiting, sent: look.sent, now: Instant(nanoseconds: look.at * 1_000_000_000), limit: .seconds(10))
    }
  }

  @Test("Output that stands is stalled after the limit, and not at it")
  func stands() {
    #expect(verdicts([(1, 5, 0), (11, 5, 0), (12, 5, 0)]) == [false, false, true])
  }

  @Test("Output that moves, or is gone, begins anew")
  func moves() {
    #expect(
      verdicts([(1, 5, 0), (20, 4, 1), (21, 4, 1), (40, 0, 1), (41, 4, 1), (51, 4, 1), (52, 4, 1)])
        == [false, false, false, false, false, false, true])
  }
}
