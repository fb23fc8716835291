import EventLoop
import Testing

@testable import RPCRuntime

@Suite("How long a server keeps a connection")
struct ConnectionPolicyTests {
  private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }

  @Test("Two pings that come too fast are forgiven, the third ends the connection")
  func strikes() {
    var strikes = PingStrikes()
    let policy = ConnectionPolicy()
    func ping(_ time: Double, sent: Int = 0, hasCalls: Bool = true) -> Bool {
      strikes.ping(now: at(time), sentFrames: sent, hasCalls: hasCalls, policy)
    }
    #expect(ping(0))
    #expect(ping(300))
    #expect(ping(599.9))
    #expect(ping(899.8))
    #expect(ping(1199.8))  // in time: forgiven are two, whatever lies between
    #expect(!ping(1300))
    #expect(ping(1301))  // else one flood would count as many connections that end
  }

  @Test("What the server sent since the last ping earns one, and wipes the strikes away")
  func earned() {
    var strikes = PingStrikes()
    for round in 1...5 {
      for step in 0..<3 {
        let isFine = strikes.ping(
          now: at(Double(round) + Double(step) / 10), sentFrames: round, hasCalls: true, ConnectionPolicy())
        #expect(isFine)
      }
    }
    let fourth = strikes.ping(now: at(5.3), sentFrames: 5, hasCalls: true, ConnectionPolicy())
    #expect(!fourth)
  }

  @Test("Without a call a client pings every two hours, unless it is allowed to", arguments: [true, false])
  func withoutCalls(isAllowed: Bool) {
    var policy = ConnectionPolicy()
    policy.allowsPingsWithoutCalls = isAllowed
    var strikes = PingStrikes()
    let results = (0..<4).map { strikes.ping(now: at(Double($0) * 301), sentFrames: 0, hasCalls: false, policy) }
    #expect(results == [true, true, true, isAllowed])
    var patient = PingStrikes()
    for number in 0..<9 {
      let isFine = patient.ping(now: at(Double(number) * 7200), sentFrames: 0, hasCalls: false, policy)
      #expect(isFine)
    }
  }

  @Test("A quiet client is asked, and its connection closed when nothing comes back in time")
  func keepalive() {
    var probe = KeepaliveProbe()
    func check(_ time: Double, received: Double) -> KeepaliveProbe.Action {
      probe.check(now: at(time), lastReceived: at(received), time: .seconds(60), timeout: .seconds(20))
    }
    #expect(check(59.9, received: 0) == .nothing)
    #expect(check(60, received: 0) == .ping)
    #expect(check(79.9, received: 0) == .nothing)
    #expect(check(80, received: 60.5) == .nothing)  // it has answered
    #expect(check(120.25, received: 60.5) == .nothing)
    #expect(check(120.5, received: 60.5) == .ping)
    #expect(check(140.25, received: 60.5) == .nothing)
    #expect(check(140.5, received: 60.5) == .close)
  }

  @Test("A client's answer counts however its time compares with the question's")
  func answerAtTheSameTime() {
    var probe = KeepaliveProbe()
    func check(_ time: Double, received: Double) -> KeepaliveProbe.Action {
      probe.check(now: at(time), lastReceived: at(received), time: .seconds(60), timeout: .seconds(20))
    }
    #expect(check(60, received: 0) == .ping)
    #expect(check(80, received: 60) == .nothing)
    #expect(check(120, received: 60) == .ping)
  }

  @Test("A connection ends at its age, spread by a tenth, and its calls after the grace", arguments: [0, 0.5, 1])
  func age(random: Double) {
    var policy = ConnectionPolicy()
    policy.maxAge = .seconds(100)
    policy.maxAgeGrace = .seconds(30)
    var age = ConnectionAge(now: at(0), random: random, policy)
    let end = 90 + 20 * random
    #expect(age.check(now: at(end - 0.01), openCalls: 1, allCalls: 1, policy) == .nothing)
    #expect(age.check(now: at(end + 0.01), openCalls: 1, allCalls: 1, policy) == .drain(.age))
    #expect(age.check(now: at(end + 30), openCalls: 1, allCalls: 1, policy) == .nothing)
    #expect(age.check(now: at(end + 30.02), openCalls: 1, allCalls: 1, policy) == .close)
    policy.maxAgeGrace = nil
    #expect(age.check(now: at(10_000), openCalls: 1, allCalls: 1, policy) == .nothing)
  }

  @Test("A connection without calls ends; one call between two looks is enough to keep it")
  func idle() {
    var policy = ConnectionPolicy()
    policy.maxIdle = .seconds(10)
    var age = ConnectionAge(now: at(0), random: 0, policy)
    #expect(age.check(now: at(9), openCalls: 0, allCalls: 0, policy) == .nothing)
    #expect(age.check(now: at(11), openCalls: 0, allCalls: 1, policy) == .nothing)
    #expect(age.check(now: at(15), openCalls: 1, allCalls: 2, policy) == .nothing)
    #expect(age.check(now: at(16), openCalls: 0, allCalls: 2, policy) == .nothing)
    #expect(age.check(now: at(25), openCalls: 0, allCalls: 2, policy) == .drain(.idle))
    let plain = ConnectionPolicy()
    var forever = ConnectionAge(now: at(0), random: 0, plain)
    #expect(forever.check(now: at(1_000_000), openCalls: 0, allCalls: 0, plain) == .nothing)
  }
}
