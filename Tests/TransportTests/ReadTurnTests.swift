import Testing

@testable import Transport

@Suite("How much of a connection is read in a turn")
struct ReadTurnTests {
  @Test("A new connection begins with little, and cheap bytes are soon read as many as one read gives")
  func cheap() {
    var turn = ReadTurn()
    var rooms: [Int] = []
    for _ in 0..<6 {
      rooms.append(turn.room)
      turn.took(.microseconds(1), for: turn.room)
    }
    #expect(rooms == [4, 8, 16, 32, 64, 64].map { $0 << 10 })
    turn.took(.zero, for: ReadTurn.most)
    #expect(turn.room == ReadTurn.most)
  }

  @Test("Dear bytes are read in pieces of the budget, from the next turn on; no piece is too small for its system call")
  func dear() {
    var turn = ReadTurn()
    while turn.room < ReadTurn.most { turn.took(.zero, for: turn.room) }
    turn.took(ReadTurn.budget * 8, for: ReadTurn.most)
    #expect(turn.room == ReadTurn.most / 8)
    turn.took(ReadTurn.budget, for: turn.room)
    #expect(turn.room == ReadTurn.most / 8)
    turn.took(.seconds(10), for: turn.room)
    #expect(turn.room == ReadTurn.least)
    turn.took(.microseconds(1), for: turn.room)
    #expect(turn.room == ReadTurn.least * 2, "back to cheap ones it grows by steps")
  }

  @Test("Only what may be dear is timed, and a piece of the least size still is, or it would stay so for ever")
  func timing() {
    #expect(!ReadTurn.isWorthTiming(100))
    #expect(ReadTurn.isWorthTiming(ReadTurn.least))
  }
}
