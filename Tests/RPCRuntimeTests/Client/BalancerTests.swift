import EventLoop
import Testing

@testable import RPCRuntime

private func address(_ number: Int) -> SocketAddress {
  try! SocketAddress(numericHost: "10.0.0.\(number)", port: 1)
}
private let v6 = try! SocketAddress(numericHost: "fd00::1", port: 1)

@Suite("pick_first as a value")
struct PickFirstTests {
  private func begun(_ addresses: [SocketAddress]) -> Balancer {
    var balancer = Balancer(policy: .pickFirst, backoff: Backoff())
    #expect(balancer.wanted() == [.resolve])
    #expect(balancer.wanted() == [])
    #expect(balancer.state == .connecting)
    _ = balancer.resolved(addresses, isWanted: true, random: 0.5)
    return balancer
  }

  @Test("Families take turns, each address once (RFC 8305)")
  func order() {
    #expect(HappyEyeballs.order([address(1), address(2), address(1), v6]) == [address(1), v6, address(2)])
    #expect(HappyEyeballs.order([v6, address(1)]) == [v6, address(1)])
    #expect(HappyEyeballs.order([]) == [])
  }

  @Test("The next address is tried after 250 ms, or at once after a failure; the first that answers wins")
  func happyEyeballs() {
    var balancer = Balancer(policy: .pickFirst, backoff: Backoff())
    _ = balancer.wanted()
    #expect(
      balancer.resolved([address(1), address(2), address(3)], isWanted: true, random: 0.5)
        == [.connect(1, address(1)), .stagger(.milliseconds(250))])
    #expect(balancer.staggerElapsed() == [.connect(2, address(2)), .stagger(.milliseconds(250))])
    #expect(balancer.failed(1, random: 0.5) == [.connect(3, address(3))])
    #expect(balancer.staggerElapsed() == [])
    #expect(balancer.connected(2) == [.drop(3)])
    #expect(balancer.state == .ready)
    #expect(balancer.ready == [2])
    #expect(balancer.failed(3, random: 0.5) == [])
  }

  @Test("A failed round waits 1 s, then 1.6 times as long, ±20 %, to two minutes")
  func rounds() {
    var balancer = begun([address(1), address(2)])
    #expect(balancer.failed(1, random: 0.5) == [.connect(2, address(2))])
    #expect(balancer.failed(2, random: 0.5) == [.resolve, .backOff(0, .seconds(1))])
    #expect(balancer.state == .failing)
    #expect(balancer.wanted() == [])
    #expect(balancer.backoffElapsed(0, isWanted: true) == [.connect(1, address(1)), .stagger(.milliseconds(250))])
    _ = balancer.failed(1, random: 0.5)
    #expect(balancer.failed(2, random: 0.5) == [.resolve, .backOff(0, .milliseconds(1600))])
    var last = Duration.zero
    for _ in 0..<20 {
      _ = balancer.backoffElapsed(0, isWanted: true)
      _ = balancer.failed(1, random: 1)
      if case .backOff(_, let delay) = balancer.failed(2, random: 1).last { last = delay }
    }
    #expect(last == .seconds(144))
    // A connection ends the row of failures.
    _ = balancer.backoffElapsed(0, isWanted: true)
    _ = balancer.connected(1)
    _ = balancer.lost(1, isBrief: false, isWanted: true, random: 0.5)
    _ = balancer.failed(1, random: 0.5)
    #expect(balancer.failed(2, random: 0.5) == [.resolve, .backOff(0, .seconds(1))])
  }

  /// Each round made it `connecting`, and calls waited for attempts that failed.
  @Test("After a failed round it goes on trying and fails calls until one connects (A62), or until it is idle")
  func sticky() {
    var balancer = begun([address(1)])
    _ = balancer.failed(1, random: 0.5)
    #expect(balancer.backoffElapsed(0, isWanted: false) == [.connect(1, address(1))])
    #expect(balancer.state == .failing)
    #expect(balancer.wanted() == [])
    // Also at another address.
    #expect(balancer.resolved([address(2)], isWanted: false, random: 0.5) == [.drop(1), .connect(2, address(2))])
    #expect(balancer.state == .failing)
    _ = balancer.failed(2, random: 0.5)
    _ = balancer.backoffElapsed(0, isWanted: false)
    _ = balancer.connected(2)
    #expect(balancer.state == .ready)
    _ = balancer.lost(2, isBrief: false, isWanted: true, random: 0.5)
    #expect(balancer.state == .connecting)
    _ = balancer.failed(2, random: 0.5)
    #expect(balancer.goIdle() == [])
    #expect(balancer.backoffElapsed(0, isWanted: false) == [])
    #expect(balancer.state == .idle)
    #expect(balancer.wanted() == [.resolve, .connect(2, address(2))])
    #expect(balancer.state == .connecting)
  }

  /// A resolver that shuffles ended the wait each time.
  @Test("Known addresses in another order, or fewer of them, end no back-off")
  func shuffled() {
    var balancer = begun([address(1), address(2), address(3)])
    for id in 1...3 { _ = balancer.failed(id, random: 0.5) }
    for order in [[2, 3, 1], [3, 2, 1], [3, 2]] {
      #expect(balancer.resolved(order.map(address), isWanted: true, random: 0.5) == [])
      #expect(balancer.state == .failing)
    }
    #expect(balancer.backoffElapsed(0, isWanted: true) == [.connect(3, address(3)), .stagger(.milliseconds(250))])
  }

  @Test("A lost connection is made again at once when a call wants it, else by the next call")
  func lost() {
    var balancer = begun([address(1)])
    _ = balancer.connected(1)
    #expect(balancer.lost(1, isBrief: false, isWanted: false, random: 0.5) == [.resolve])
    #expect(balancer.state == .idle)
    #expect(balancer.wanted() == [.resolve, .connect(1, address(1))])
    _ = balancer.connected(1)
    #expect(balancer.lost(1, isBrief: false, isWanted: true, random: 0.5) == [.resolve, .connect(1, address(1))])
    #expect(balancer.lost(1, isBrief: false, isWanted: true, random: 0.5) == [])
  }

  @Test("An address whose connections go soon after they are made, five in a row, has failed while a call wants it")
  func brief() {
    var balancer = begun([address(1), address(2)])
    for _ in 0..<4 {
      _ = balancer.connected(1)
      #expect(
        balancer.lost(1, isBrief: true, isWanted: true, random: 0.5)
          == [.resolve, .connect(1, address(1)), .stagger(.milliseconds(250))])
    }
    _ = balancer.connected(1)
    #expect(balancer.lost(1, isBrief: true, isWanted: true, random: 0.5) == [.connect(2, address(2))])
    #expect(balancer.failed(2, random: 0.5) == [.resolve, .backOff(0, .seconds(1))])
    #expect(balancer.state == .failing)
    _ = balancer.backoffElapsed(0, isWanted: true)
    _ = balancer.connected(1)
    // Nobody waits: the next call connects.
    #expect(balancer.lost(1, isBrief: true, isWanted: false, random: 0.5) == [.resolve])
    #expect(balancer.state == .idle)
  }

  @Test("New addresses keep a connection whose address stays, and end a back-off")
  func reresolution() {
    var balancer = begun([address(1), address(2)])
    _ = balancer.connected(1)
    #expect(balancer.resolved([address(2), address(1)], isWanted: false, random: 0.5) == [])
    #expect(balancer.ready == [1])
    #expect(balancer.resolved([address(2)], isWanted: false, random: 0.5) == [.drop(1)])
    #expect(balancer.state == .idle)
    _ = balancer.wanted()
    _ = balancer.failed(2, random: 0.5)
    #expect(balancer.state == .failing)
    #expect(balancer.resolved([address(2)], isWanted: true, random: 0.5) == [])
    #expect(balancer.resolved([address(3)], isWanted: true, random: 0.5) == [.connect(3, address(3))])
    #expect(balancer.backoffElapsed(0, isWanted: true) == [])
  }

  @Test("A name without addresses backs off, and is looked up again while a call waits")
  func nameless() {
    var balancer = Balancer(policy: .pickFirst, backoff: Backoff())
    _ = balancer.wanted()
    #expect(balancer.resolved([], isWanted: true, random: 0.5) == [.backOff(0, .seconds(1))])
    #expect(balancer.state == .failing)
    #expect(balancer.backoffElapsed(0, isWanted: true) == [.resolve])
    #expect(balancer.resolutionFailed(random: 0.5) == [.backOff(0, .milliseconds(1600))])
  }

  @Test("Nothing happens to a closed channel")
  func closed() {
    var balancer = Balancer(policy: .pickFirst, backoff: Backoff())
    _ = balancer.wanted()
    balancer.close()
    #expect(balancer.resolved([address(1)], isWanted: true, random: 0.5) == [])
    #expect(balancer.wanted() == [])
    #expect(balancer.state == .closed)
  }
}

@Suite("round_robin and least_request as values")
struct ConnectToAllTests {
  private func begun(_ count: Int, policy: LoadBalancingPolicy = .roundRobin) -> Balancer {
    var balancer = Balancer(policy: policy, backoff: Backoff())
    _ = balancer.wanted()
    let actions = balancer.resolved((1...count).map(address), isWanted: true, random: 0.5)
    #expect(actions == (1...count).map { .connect($0, address($0)) })
    return balancer
  }

  @Test("Every address is connected to; one that is ready serves")
  func all() {
    var balancer = begun(3)
    #expect(balancer.connected(2) == [])
    #expect(balancer.state == .ready)
    #expect(balancer.failed(1, random: 0.5) == [.resolve, .backOff(1, .seconds(1))])
    #expect(balancer.connected(3) == [])
    #expect(balancer.ready == [2, 3])
    #expect(balancer.backoffElapsed(1, isWanted: false) == [.connect(1, address(1))])
    // Others serve, and this one has failed before: the addresses are not doubted again.
    #expect(balancer.failed(1, random: 0.5) == [.backOff(1, .milliseconds(1600))])
    _ = balancer.backoffElapsed(1, isWanted: false)
    _ = balancer.connected(1)
    _ = balancer.lost(1, isBrief: false, isWanted: false, random: 0.5)
    #expect(balancer.failed(1, random: 0.5) == [.resolve, .backOff(1, .seconds(1))])
  }

  @Test("The wait grows while connections go soon after they are made, and is short again after one that has lasted")
  func brief() {
    var balancer = begun(1)
    func lose(isBrief: Bool) -> Balancer.Action? {
      _ = balancer.connected(1)
      return balancer.lost(1, isBrief: isBrief, isWanted: false, random: 0.5).last
    }
    for _ in 0..<4 { #expect(lose(isBrief: true) == .connect(1, address(1))) }
    #expect(lose(isBrief: true) == .backOff(1, .seconds(1)))
    _ = balancer.backoffElapsed(1, isWanted: false)
    #expect(lose(isBrief: true) == .backOff(1, .milliseconds(1600)))
    _ = balancer.backoffElapsed(1, isWanted: false)
    #expect(lose(isBrief: false) == .connect(1, address(1)))
    #expect(balancer.failed(1, random: 0.5).last == .backOff(1, .seconds(1)))
  }

  @Test("It fails when all have failed, also while they try again, until one is ready")
  func failing() {
    var balancer = begun(2)
    _ = balancer.failed(1, random: 0.5)
    #expect(balancer.state == .connecting)
    _ = balancer.failed(2, random: 0.5)
    #expect(balancer.state == .failing)
    _ = balancer.backoffElapsed(1, isWanted: false)
    #expect(balancer.state == .failing)
    _ = balancer.connected(1)
    #expect(balancer.state == .ready)
    #expect(balancer.lost(1, isBrief: false, isWanted: false, random: 0.5) == [.resolve, .connect(1, address(1))])
    #expect(balancer.state == .connecting)
    _ = balancer.failed(1, random: 0.5)
    #expect(balancer.state == .failing)
    _ = balancer.goIdle()
    #expect(balancer.state == .idle)
  }

  @Test("Added addresses are connected to without a call; those that are gone take no more calls")
  func scaling() {
    var balancer = begun(1)
    _ = balancer.connected(1)
    #expect(
      balancer.resolved([1, 2, 3].map(address), isWanted: false, random: 0.5)
        == [.connect(2, address(2)), .connect(3, address(3))])
    _ = balancer.connected(2)
    #expect(balancer.resolved([address(2)], isWanted: false, random: 0.5) == [.drop(1), .drop(3)])
    #expect(balancer.ready == [2])
  }

  @Test("An idle channel drops everything and connects again by the next call")
  func idle() {
    var balancer = begun(2)
    _ = balancer.connected(1)
    #expect(balancer.goIdle() == [.drop(1), .drop(2)])
    #expect(balancer.state == .idle)
    #expect(balancer.resolved([1, 2, 3].map(address), isWanted: false, random: 0.5) == [])
    #expect(balancer.wanted().first == .resolve)
    #expect(balancer.state == .connecting)
  }

  @Test("round_robin takes turns; least_request takes the emptier of those drawn")
  func picking() {
    var turns = Picker(policy: .roundRobin, turn: 7)
    let taken = (0..<6).map { _ in turns.next(of: 3, load: { _ in 0 }, random: { _ in 0 }) }
    #expect(taken == [2, 0, 1, 2, 0, 1])
    var least = Picker(policy: .leastRequest(choices: 3), turn: 0)
    var draws = [0, 1, 2]
    #expect(least.next(of: 3, load: { [5, 2, 4][$0] }, random: { _ in draws.removeFirst() }) == 1)
    draws = [0, 1, 2]
    #expect(least.next(of: 3, load: { [5, 4, 2][$0] }, random: { _ in draws.removeFirst() }) == 2)
    #expect(LoadBalancingPolicy.leastRequest(choices: 1) == .leastRequest(choices: 2))
    #expect(LoadBalancingPolicy.leastRequest(choices: 11) == .leastRequest(choices: 10))
  }
}

@Suite("When a name is looked up")
struct ResolutionScheduleTests {
  private let start = Instant(nanoseconds: 0)

  @Test("At once first, then no more often than the minimum interval, and at a rate")
  func bounds() {
    var schedule = ResolutionSchedule(ResolutionConfiguration())
    #expect(schedule.wanted(now: start) == .resolve)
    #expect(schedule.wanted(now: start) == .nothing)
    // It was doubted while it ran.
    #expect(schedule.ended(now: start, random: 0.5) == .wait(until: start + .seconds(5)))
    #expect(schedule.wanted(now: start + .seconds(1)) == .nothing)
    #expect(schedule.timeElapsed(now: start + .seconds(5)) == .resolve)
    #expect(schedule.ended(now: start + .seconds(6), random: 0) == .wait(until: start + .seconds(30)))
    #expect(schedule.wanted(now: start + .seconds(7)) == .wait(until: start + .seconds(10)))
    #expect(schedule.timeElapsed(now: start + .seconds(10)) == .resolve)
    #expect(schedule.ended(now: start + .seconds(10), random: 0.5) == .wait(until: start + .seconds(40)))
    #expect(schedule.wanted(now: start + .seconds(15)) == .resolve)
  }

  @Test(
    "A server that is added is looked for within the rate and its fifth, whenever it comes", arguments: [0, 0.5, 0.999])
  func refreshBound(random: Double) {
    var schedule = ResolutionSchedule(ResolutionConfiguration())
    var (now, action) = (start, schedule.wanted(now: start))
    for _ in 0..<10 {
      #expect(action == .resolve)
      // The server comes right after the look-up that might have found it.
      guard case .wait(let next) = schedule.ended(now: now, random: random) else {
        Issue.record("no look-up is planned")
        return
      }
      #expect(next - now >= .seconds(24) && next - now <= .seconds(36))
      now = next
      action = schedule.timeElapsed(now: now)
    }
  }

  @Test("A pause forgets the time; without a rate only doubt looks it up")
  func pause() {
    var configuration = ResolutionConfiguration()
    configuration.refreshInterval = nil
    var schedule = ResolutionSchedule(configuration)
    _ = schedule.wanted(now: start)
    #expect(schedule.ended(now: start, random: 0.5) == .nothing)
    _ = schedule.wanted(now: start + .seconds(1))
    schedule.pause()
    #expect(schedule.timeElapsed(now: start + .seconds(5)) == .nothing)
    // Also while one is under way.
    var running = ResolutionSchedule(ResolutionConfiguration())
    _ = running.wanted(now: start)
    running.pause()
    #expect(running.ended(now: start, random: 0.5) == .nothing)
    #expect(running.wanted(now: start + .seconds(5)) == .resolve)
  }
}
