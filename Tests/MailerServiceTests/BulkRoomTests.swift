import Testing

@testable import MailerService

@Suite("How much of the queue a worker has in hand")
struct BulkRoomTests {
  @Test("Alone, and before Gmail has answered, as much as it may")
  func alone() {
    var room = BulkRoom()
    #expect(room.capacity(lastAwaited: .seconds(5), now: .seconds(5)) == 64)
    room.answered(in: .milliseconds(1), now: .seconds(5))
    #expect(room.capacity(lastAwaited: nil, now: .seconds(5)) == 64)
    #expect(room.capacity(lastAwaited: .seconds(4), now: .seconds(5)) == 64)
    #expect(room.capacity(lastAwaited: .milliseconds(4_001), now: .seconds(5)) == 5)
  }

  @Test(
    "Beside awaited mail, four and one for each millisecond that Gmail takes",
    arguments: [(0, 4), (1, 5), (10, 14), (59, 63), (60, 64), (61, 64), (300_000, 64)])
  func besideAwaited(milliseconds: Int, capacity: Int) {
    var room = BulkRoom()
    room.answered(in: .milliseconds(milliseconds), now: .seconds(1))
    #expect(room.capacity(lastAwaited: .seconds(1), now: .seconds(1)) == capacity)
  }

  @Test("Gmail's time is the shortest of the last ten to twenty seconds: what our own queues add does not count")
  func quickest() {
    var room = BulkRoom()
    func capacity(_ now: Int) -> Int { room.capacity(lastAwaited: .seconds(now), now: .seconds(now)) }
    room.answered(in: .milliseconds(2), now: .seconds(10))
    room.answered(in: .milliseconds(50), now: .seconds(11))
    #expect(capacity(11) == 6)
    room.answered(in: .milliseconds(40), now: .seconds(20))
    #expect(capacity(20) == 6)
    room.answered(in: .milliseconds(30), now: .seconds(30))
    #expect(capacity(30) == 34)
    // A time from long ago says nothing.
    room.answered(in: .milliseconds(52), now: .seconds(300))
    #expect(capacity(300) == 56)
  }
}
