import EventLoop
import Synchronization
import TestSupport
import Testing

@testable import MailerService

@Suite("A mailbox's turns within a process")
struct MailboxTurnsTests {
  private let turns = MailboxTurns()
  private let forever: Duration = .seconds(600)

  @Test("One at a time, in the order of coming; another mailbox is nobody's business")
  func order() async throws {
    try await onLoop { reactor in
      var order: [Int] = []
      let first = try #require(try await turns.take("a", on: reactor))
      let waiting = (1...3).map { number in
        reactor.spawn {
          let turn = try #require(try await turns.take("a", on: reactor, within: forever))
          order.append(number)
          try await reactor.sleep(for: .zero)
          #expect(order.last == number)
          turn.end()
        }
      }
      try await settle(reactor, waiting: 3)
      #expect(order == [])
      try #require(try await turns.take("b", on: reactor)).end()
      first.end()
      first.end()
      for task in waiting { try await task.value }
      #expect(order == [1, 2, 3])
      #expect(turns.waiting(at: "a") == nil)
    }
  }

  @Test("One that waits too long goes without, and so does one more than may wait")
  func limits() async throws {
    try await onLoop { reactor in
      let turn = try #require(try await turns.take("a", on: reactor))
      #expect(try await turns.take("a", on: reactor, within: .milliseconds(1)) == nil)
      let waiting = (0..<MailboxTurns.capacity).map { _ in
        reactor.spawn { try await turns.take("a", on: reactor, within: forever)?.end() }
      }
      try await settle(reactor, waiting: MailboxTurns.capacity)
      #expect(try await turns.take("a", on: reactor, within: forever) == nil)
      turn.end()
      for task in waiting { try await task.value }
    }
  }

  @Test("One that hangs up is skipped, also when its turn has just come; a turn that is dropped ends")
  func hangUp() async throws {
    try await onLoop { reactor in
      var turn = try await turns.take("a", on: reactor)
      let gone = reactor.spawn { try await turns.take("a", on: reactor, within: forever)?.end() }
      let late = reactor.spawn { try await turns.take("a", on: reactor, within: forever)?.end() }
      try await settle(reactor, waiting: 2)
      gone.cancel()
      await #expect(throws: CancellationError.self) { try await gone.value }
      #expect(turns.waiting(at: "a") == 1)
      turn?.end()
      late.cancel()
      _ = await late.result
      turn = try #require(try await turns.take("a", on: reactor, within: forever))
      #expect(turns.waiting(at: "a") == 0)
      turn = nil
      #expect(turns.waiting(at: "a") == nil)
    }
  }

  @Test("Loops of a process share the turns")
  func loops() async throws {
    final class InHand: Sendable {
      let count = Mutex(0)
    }
    let inHand = InHand()
    let turns = turns
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<2 {
        group.addTask {
          try await onLoop { reactor in
            let tasks = (0..<8).map { _ in
              reactor.spawn {
                for _ in 0..<20 {
                  let turn = try #require(try await turns.take("a", on: reactor, within: .seconds(600)))
                  let count = inHand.count.withLock { count in
                    count += 1
                    return count
                  }
                  #expect(count == 1)
                  try await reactor.sleep(for: .zero)
                  inHand.count.withLock { $0 -= 1 }
                  turn.end()
                }
              }
            }
            for task in tasks { try await task.value }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(turns.waiting(at: "a") == nil)
  }

  private func settle(_ reactor: Reactor, waiting: Int) async throws {
    while turns.waiting(at: "a") != waiting { try await reactor.sleep(for: .milliseconds(1)) }
  }
}
