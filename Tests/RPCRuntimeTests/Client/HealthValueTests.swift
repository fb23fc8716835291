import EventLoop
import Testing

@testable import RPCRuntime

@Suite("Keepalive, health and outliers as values")
struct HealthValueTests {
  private let start = Instant(nanoseconds: 0)

  @Test("A silent server is pinged after the time, and given up after the time-out")
  func keepalive() {
    var keepalive = Keepalive(KeepaliveConfiguration(time: .seconds(30)))
    #expect(keepalive.next(now: start, lastRead: start, hasCalls: true) == .wait(until: start + .seconds(30)))
    #expect(keepalive.next(now: start + .seconds(30), lastRead: start, hasCalls: true) == .ping)
    let limit = start + .seconds(50)
    #expect(keepalive.next(now: start + .seconds(30), lastRead: start, hasCalls: true) == .wait(until: limit))
    #expect(keepalive.next(now: limit, lastRead: start, hasCalls: true) == .close)
  }

  @Test("Any byte is a sign of life")
  func life() {
    var keepalive = Keepalive(KeepaliveConfiguration(time: .seconds(30)))
    #expect(keepalive.next(now: start + .seconds(30), lastRead: start, hasCalls: true) == .ping)
    let read = start + .seconds(31)
    #expect(
      keepalive.next(now: start + .seconds(50), lastRead: read, hasCalls: true) == .wait(until: read + .seconds(30)))
    #expect(keepalive.next(now: start + .seconds(61), lastRead: read, hasCalls: true) == .ping)
  }

  @Test("An answer counts however its time compares with the ping's")
  func answerAtTheSameTime() {
    var keepalive = Keepalive(KeepaliveConfiguration(time: .seconds(30)))
    let asked = start + .seconds(30)
    #expect(keepalive.next(now: asked, lastRead: start, hasCalls: true) == .ping)
    #expect(
      keepalive.next(now: asked + .seconds(20), lastRead: asked, hasCalls: true) == .wait(until: asked + .seconds(30)))
  }

  @Test("Without calls it sleeps unless that is permitted; 10 s at least; half as often for a server that complains")
  func bounds() {
    var sleeping = Keepalive(KeepaliveConfiguration(time: .seconds(30)))
    #expect(sleeping.next(now: start + .seconds(99), lastRead: start, hasCalls: false) == .sleep)
    var watching = Keepalive(KeepaliveConfiguration(time: .seconds(30), permitWithoutCalls: true))
    #expect(watching.next(now: start + .seconds(99), lastRead: start, hasCalls: false) == .ping)
    #expect(KeepaliveConfiguration(time: .seconds(9)).time == .seconds(10))
    #expect(KeepaliveConfiguration(time: .seconds(11)).time == .seconds(11))
    #expect(KeepaliveConfiguration(time: .seconds(11)).calmer.time == .seconds(22))
  }

  @Test("Health: each change is reported once; a broken watch means not serving and is repeated with back-off")
  func health() {
    var state = HealthWatchState(backoff: Backoff())
    #expect(state.received(.notServing) == .report(false))
    #expect(state.received(.serviceUnknown) == .nothing)
    #expect(state.received(.serving) == .report(true))
    #expect(state.ended(.unavailable, random: 0.5) == [.report(false), .retry(.seconds(1))])
    #expect(state.ended(.ok, random: 0.5) == [.nothing, .retry(.milliseconds(1600))])
    #expect(state.received(.serving) == .report(true))
    #expect(state.ended(.internal, random: 0.5) == [.report(false), .retry(.seconds(1))])
  }

  @Test("A server without the health service counts as healthy")
  func healthUnimplemented() {
    var state = HealthWatchState(backoff: Backoff())
    #expect(state.ended(.unimplemented, random: 0.5) == [.report(true)])
  }

  @Test("With health checks a connection serves once the service says so")
  func balancerHealth() throws {
    var balancer = Balancer(policy: .roundRobin, backoff: Backoff(), checksHealth: true)
    _ = balancer.wanted()
    _ = balancer.resolved(
      [try SocketAddress(numericHost: "10.0.0.1", port: 1)], isWanted: true, random: 0.5)
    _ = balancer.connected(1)
    #expect(balancer.state == .connecting)
    balancer.reported(1, isServing: true)
    #expect(balancer.state == .ready)
    balancer.reported(1, isServing: false)
    #expect(balancer.state == .failing)
    _ = balancer.lost(1, isBrief: false, isWanted: false, random: 0.5)
    balancer.reported(1, isServing: true)
    #expect(balancer.state == .failing)
  }

  @Test("So many failures in a row eject a server, one fewer does not; never the last one")
  func consecutive() {
    var detector = OutlierDetector(OutlierDetection(), now: start)
    func fail(_ id: Int, of count: Int) -> Bool { detector.record(id, failed: true, of: count, now: start) }
    for _ in 0..<4 { #expect(!fail(1, of: 3)) }
    _ = detector.record(1, failed: false, of: 3, now: start)
    for _ in 0..<4 { #expect(!fail(1, of: 3)) }
    #expect(fail(1, of: 3))
    #expect(detector.isEjected(1))
    for _ in 0..<9 { #expect(!fail(2, of: 3)) }  // one is ejected: more than 10 %
    var alone = OutlierDetector(OutlierDetection(), now: start)
    for _ in 0..<9 {
      let ejected = alone.record(1, failed: true, of: 1, now: start)
      #expect(!ejected)
    }
  }

  @Test("An ejection ends after its time, the next one lasts longer")
  func ejectionTime() {
    var detector = OutlierDetector(OutlierDetection(), now: start)
    var now = start
    func eject() { for _ in 0..<5 { _ = detector.record(1, failed: true, of: 3, now: now) } }
    func pass(_ seconds: Int) {
      now = now + .seconds(seconds)
      _ = detector.evaluate([1, 2, 3], now: now)
    }
    eject()
    pass(20)
    #expect(detector.isEjected(1))
    pass(10)
    #expect(!detector.isEjected(1))
    eject()
    pass(50)
    #expect(detector.isEjected(1))
    pass(10)
    #expect(!detector.isEjected(1))
  }

  @Test("An ejection is no longer than the longest; a good interval makes the next one shorter")
  func ejectionBounds() {
    var configuration = OutlierDetection()
    configuration.maxEjectionTime = .seconds(40)
    var detector = OutlierDetector(configuration, now: start)
    var now = start
    func fail(_ count: Int) { for _ in 0..<count { _ = detector.record(1, failed: true, of: 3, now: now) } }
    /// Ejects the server and says how long, in seconds, to the interval.
    func ejection() -> Int {
      fail(5)
      let before = now
      while detector.isEjected(1) {
        now = now + .seconds(10)
        _ = detector.evaluate([1, 2, 3], now: now)
      }
      return Int((now - before) / .seconds(1))
    }
    #expect(ejection() == 30)
    #expect(ejection() == 40)
    for _ in 0..<2 {
      now = now + .seconds(10)
      _ = detector.evaluate([1, 2, 3], now: now)
    }
    #expect(ejection() == 30)
    // What ejected it once does not count again.
    fail(4)
    #expect(!detector.isEjected(1))
  }

  @Test("Each interval is judged by its own calls, and a server that is gone is forgotten")
  func intervals() {
    var configuration = OutlierDetection()
    configuration.consecutiveFailures = nil
    var detector = OutlierDetector(configuration, now: start)
    for id in 1...5 { for _ in 0..<100 { _ = detector.record(id, failed: false, of: 5, now: start) } }
    #expect(detector.evaluate(Array(1...5), now: start + .seconds(10)) == .init())
    for id in 1...5 { for _ in 0..<99 { _ = detector.record(id, failed: id == 1, of: 5, now: start) } }
    #expect(detector.evaluate(Array(1...5), now: start + .seconds(20)) == .init())
    for id in 1...5 { for _ in 0..<100 { _ = detector.record(id, failed: id == 1, of: 5, now: start) } }
    #expect(detector.evaluate(Array(1...5), now: start + .seconds(30)) == .init(ejected: [1], hasChanged: true))
    #expect(detector.evaluate(Array(2...5), now: start + .seconds(40)) == .init(hasChanged: true))
    #expect(!detector.isEjected(1))
  }

  @Test("A success rate far below the mean ejects; few hosts or few calls do not count")
  func successRate() {
    func ejected(hosts: Int, calls: Int) -> Bool {
      var configuration = OutlierDetection()
      // So that the one of four could be far enough from their mean.
      configuration.successRateDeviations = 1.5
      var detector = OutlierDetector(configuration, now: start)
      for id in 1...hosts {
        for call in 0..<calls {
          _ = detector.record(id, failed: id == 1 && call % 2 == 0, of: hosts, now: start)
        }
      }
      let findings = detector.evaluate(Array(1...hosts), now: start + .seconds(10))
      #expect(findings == .init(ejected: detector.isEjected(1) ? [1] : [], hasChanged: detector.isEjected(1)))
      return detector.isEjected(1)
    }
    #expect(ejected(hosts: 5, calls: 100))
    #expect(!ejected(hosts: 4, calls: 100))
    #expect(!ejected(hosts: 5, calls: 99))
  }

  @Test("A share of failures above its threshold ejects, whatever the others do; few hosts or few calls do not count")
  func failurePercentage() {
    func ejected(
      failures: Int, of calls: Int, hosts: Int, threshold: Int = 50, percent: Int = 100, random: Double = 0
    ) -> [Int] {
      var configuration = OutlierDetection()
      (configuration.consecutiveFailures, configuration.successRateDeviations) = (nil, nil)
      configuration.maxEjectionPercent = 100
      var rule = OutlierDetection.FailurePercentage()
      (rule.threshold, rule.minimumHosts, rule.requestVolume, rule.enforcement) = (threshold, 2, 10, percent)
      configuration.failurePercentage = rule
      var detector = OutlierDetector(configuration, now: start)
      for id in 1...hosts {
        for call in 0..<calls { _ = detector.record(id, failed: call < failures, of: hosts, now: start) }
      }
      _ = detector.evaluate(Array(1...hosts), now: start + .seconds(10)) { random }
      return (1...hosts).filter { detector.isEjected($0) }
    }
    // All fail alike, and yet one stays: there would be none left.
    #expect(ejected(failures: 6, of: 10, hosts: 2) == [1])
    #expect(ejected(failures: 5, of: 10, hosts: 2) == [])
    // A perfect server is not above zero.
    #expect(ejected(failures: 0, of: 10, hosts: 2, threshold: 0) == [])
    #expect(ejected(failures: 1, of: 10, hosts: 2, threshold: 0) == [1])
    #expect(ejected(failures: 9, of: 9, hosts: 2) == [])
    #expect(ejected(failures: 10, of: 10, hosts: 1) == [])
    #expect(ejected(failures: 10, of: 10, hosts: 2, percent: 30, random: 0.29) == [1])
    #expect(ejected(failures: 10, of: 10, hosts: 2, percent: 30, random: 0.3) == [])
  }
}
