import EventLoop
import Glibc
import HTTPTypes
import Synchronization
import Testing

@testable import HTTPSClient

@Suite(.timeLimit(.minutes(1)), .serialized)
struct ManyRequestsTests {
  private final class Gate: Sendable {
    private let isOpen = Mutex(false)
    private let arrived = Atomic<Int>(0)

    var arrivals: Int { arrived.load(ordering: .relaxed) }
    func open() { isOpen.withLock { $0 = true } }
    func pass() {
      arrived.add(1, ordering: .relaxed)
      while !isOpen.withLock({ $0 }) { usleep(20_000) }
    }
  }

  @Test("A thousand slow requests are under way at once, cost next to nothing while they wait, and all end")
  func slow() async throws {
    let gate = Gate()
    let server = try ScriptedServer { peer in
      _ = peer.readRequest()
      gate.pass()
      peer.answer()
    }
    let (answered, waitingCost) = try await withClient { client, reactor in
      let tasks = (0..<1_000).map { _ in
        reactor.spawn {
          try await client.send(request(.post, server.authority), body: RequestBody([1])).head.status.code
        }
      }
      while gate.arrivals < 1_000 { try await reactor.sleep(for: .milliseconds(5)) }
      let before = threadTime()
      try await reactor.sleep(for: .milliseconds(300))
      let cost = threadTime() - before
      gate.open()
      var answered = 0
      for task in tasks where try await task.value == 200 { answered += 1 }
      return (answered, cost)
    }
    #expect(answered == 1_000)
    #expect(waitingCost < .milliseconds(30))
  }

  @Test("More requests than connections wait their turn on the connections there are")
  func boundedConnections() async throws {
    let server = try ScriptedServer { peer in while peer.readRequest() != nil { peer.answer() } }
    var configuration = HTTPSClient.Configuration()
    configuration.maxPlaintextConnectionsPerHost = 8
    let answered = try await withClient(configuration) { client, reactor in
      let tasks = (0..<500).map { _ in
        reactor.spawn {
          try await client.send(request(.post, server.authority), body: RequestBody([1])).head.status.code
        }
      }
      var answered = 0
      for task in tasks where try await task.value == 200 { answered += 1 }
      return answered
    }
    #expect(answered == 500)
    #expect(server.connections == 8)
  }

  private func threadTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
