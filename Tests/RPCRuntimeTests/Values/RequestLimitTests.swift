import EventLoop
import Testing

@testable import RPCRuntime

@Suite("What requests may hold, and how fast they must come")
struct RequestLimitTests {
  @Test("The budget may be used up; one byte more is too much, and giving back cures it")
  func budget() {
    var budget = RequestBudget(limit: 1000, largestRequest: 100)
    budget.change(by: 1000)
    #expect(!budget.isExceeded)
    budget.change(by: 1)
    #expect(budget.isExceeded)
    budget.change(by: -1)
    #expect(!budget.isExceeded)
  }

  @Test("A request of the largest size has room whatever the budget says")
  func largest() {
    #expect(RequestBudget(limit: 10, largestRequest: 100).limit == 100)
  }

  @Test("The newest of the calls that hold their share gives way; small ones and those without a request are spared")
  func victim() {
    #expect(RequestBudget.victim(of: [(1, 500), (7, 20), (5, 500), (3, 500), (9, 0)]) == 2)
    #expect(RequestBudget.victim(of: [(1, 500)]) == 0)
    #expect(RequestBudget.victim(of: [(1, 0), (3, 0)]) == nil)
    #expect(RequestBudget.victim(of: []) == nil)
  }

  private let start = Instant(nanoseconds: 0)

  private func isFine(_ seconds: [Int: (received: Int, isAwaited: Bool)]) -> [Int] {
    var pace = RequestPace()
    var policy = RequestPolicy()
    policy.minRate = 100
    policy.rateWindow = .seconds(10)
    return seconds.sorted { $0.key < $1.key }.filter {
      !pace.check(
        now: start + .seconds($0.key), received: $0.value.received, isAwaited: $0.value.isAwaited, policy)
    }.map(\.key)
  }

  @Test("The lowest rate is enough; a byte less in a whole window is too slow")
  func pace() {
    #expect(isFine([0: (5, true), 10: (1005, true), 20: (2005, true)]) == [])
    #expect(isFine([0: (5, true), 10: (1004, true)]) == [10])
    #expect(isFine([0: (5, true), 9: (5, true), 10: (1005, true)]) == [])
    #expect(isFine([0: (5, true), 10: (1005, true), 20: (2004, true)]) == [20])
  }

  @Test("Time in which the server does not wait for the client does not count")
  func unawaited() {
    #expect(isFine([0: (5, true), 9: (5, false), 10: (5, true), 19: (5, true)]) == [])
    #expect(isFine([0: (5, true), 9: (5, false), 10: (5, true), 20: (5, true)]) == [20])
  }

  @Test("What an inbox holds is counted until its memory is given back")
  func inbox() throws {
    var inbox = MessageInbox(limit: 4 << 20)
    func frame(_ count: Int) -> [UInt8] {
      [0, UInt8(count >> 24 & 255), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
        + [UInt8](repeating: 7, count: count)
    }
    func receive(_ bytes: [UInt8]) throws {
      _ = try bytes.span.bytes.withUnsafeBytes { (raw) throws(RPCError) -> Int in try inbox.receive(raw) }
    }
    try receive(frame(100))
    #expect(inbox.heldBytes == 105)
    _ = inbox.removeFirst()
    // The buffer stays for the next message.
    #expect(inbox.heldBytes == 105)
    try receive(frame(2 << 20))
    #expect(inbox.heldBytes == 2 << 20 | 5)
    _ = inbox.removeFirst()
    #expect(inbox.heldBytes == 0)
    try receive(frame(50))
    inbox.reset(limit: 10)
    #expect(inbox.heldBytes == 0)
  }
}
