import EventLoop
import TestSupport
import Testing

@testable import MailerService

@Suite("The room for large mail")
struct PayloadRoomTests {
  @Test("At its bound there is room, beyond it one waits, in turn; a mail alone always has it")
  func bound() async throws {
    try await onLoop { reactor in
      let room = PayloadRoom(reactor: reactor)
      var entered: [Int] = []
      func enter(_ number: Int, _ count: Int) -> Task<Void, any Error> {
        reactor.spawn {
          try await room.enter(count)
          entered.append(number)
        }
      }
      func settle() async throws { for _ in 0..<5 { try await reactor.sleep(for: .zero) } }

      try await room.enter(PayloadRoom.capacity - 10)
      try await room.enter(10)
      let tasks = [enter(1, PayloadRoom.capacity + 1), enter(2, 1), enter(3, 1)]
      try await settle()
      #expect(entered == [])
      tasks[1].cancel()
      room.leave(10)
      try await settle()
      #expect(entered == [])
      room.leave(PayloadRoom.capacity - 10)
      try await settle()
      #expect(entered == [1])
      room.leave(PayloadRoom.capacity + 1)
      try await settle()
      #expect(entered == [1, 3])
      room.leave(1)
      // Nothing was kept for the one that was cancelled.
      try await room.enter(PayloadRoom.capacity)
    }
  }
}
