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

  @Test("Output that moves fast enough, or is gone, begins anew")
  func moves() {
    #expect(
      verdicts([
        (1, 5000, 0), (11, 5000, 640), (21, 5000, 1280), (31, 0, 1280), (32, 9, 1280), (42, 9, 1280), (43, 9, 1280),
      ])
        == [false, false, false, false, false, false, true])
  }

  @Test("A byte now and then does not keep the output; the lowest rate does")
  func trickles() {
    #expect(verdicts([(1, 5000, 0), (6, 5000, 1), (11, 5000, 2), (12, 5000, 3)]) == [false, false, false, true])
    #expect(verdicts([(1, 5000, 0), (11, 5000, 639), (12, 5000, 639)]) == [false, false, true])
    #expect(verdicts([(1, 5000, 0), (11, 5000, 640), (12, 5000, 640)]) == [false, false, false])
  }
}
