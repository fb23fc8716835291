import EventLoop
import Testing

@testable import RPCRuntime

@Suite("A turn of handlers")
struct HandlerTurnTests {
  /// How many handlers a turn lets begin, each of which takes so long, of so many.
  private static func begun(of count: Int, each: Duration) -> Int {
    var (turn, now, begun) = (HandlerTurn(), Instant(nanoseconds: 1), 0)
    while begun < count, turn.goesOn(isLast: begun == count - 1, now: now) {
      now = now + each
      begun += 1
    }
    return begun
  }

  @Test("it goes on for half a millisecond, for a thousand handlers at most, and for one at least")
  func length() {
    #expect(Self.begun(of: 100, each: .microseconds(1)) == 100)
    #expect(Self.begun(of: 100, each: .microseconds(10)) == 50)
    #expect(Self.begun(of: 100, each: .microseconds(499)) == 2)
    #expect(Self.begun(of: 100, each: .microseconds(500)) == 1)
    #expect(Self.begun(of: 2000, each: .zero) == 1024)
  }

  @Test("one alone is not looked at the clock, and the time begins with the second")
  func clock() {
    var turn = HandlerTurn()
    func unread() -> Instant {
      Issue.record("the clock was read")
      return Instant(nanoseconds: 1)
    }
    let first = turn.goesOn(isLast: true, now: unread())
    let second = Instant(nanoseconds: 1) + .seconds(1)
    let later = [Duration.zero, .microseconds(499), .microseconds(500)].map {
      turn.goesOn(isLast: true, now: second + $0)
    }
    #expect(first && later == [true, true, false])
  }
}
