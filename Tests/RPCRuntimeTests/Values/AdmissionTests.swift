import EventLoop
import Testing

@testable import RPCRuntime

@Suite("How many calls a server takes")
struct AdmissionTests {
  private func at(_ milliseconds: Int) -> Instant { Instant(nanoseconds: Int64(milliseconds) * 1_000_000) }

  private func policy(
    calls: Int = 100, queued: Int = 2, adaptive: (initial: Int, minimum: Int, maximum: Int)? = nil
  ) -> ConcurrencyPolicy {
    var policy = ConcurrencyPolicy()
    policy.maxCalls = calls
    policy.maxQueuedCalls = queued
    policy.adaptive = adaptive.map {
      var settings = ConcurrencyPolicy.Adaptive()
      (settings.initial, settings.minimum, settings.maximum) = $0
      return settings
    }
    return policy
  }

  @Test("At the limit calls run, above it they wait, above the queue they are turned away")
  func fixed() {
    var admission = Admission(policy(calls: 2, queued: 2))
    func arrive(isMeasured: Bool = true) -> Admission.Verdict { admission.arrived(isMeasured: isMeasured) }
    func take() -> Bool { admission.takeQueued() }
    let verdicts = (0..<5).map { _ in arrive() }
    #expect(verdicts == [.run, .run, .queue, .queue, .shed])
    #expect(arrive(isMeasured: false) == .shed)
    #expect(!take())
    admission.ended(isMeasured: true, latency: .zero, now: at(0))
    #expect(take())
    #expect(!take())
    admission.leftQueue(isShed: true)
    #expect((admission.running, admission.queued, admission.shedCount) == (2, 0, 3))
  }

  @Test("Nobody overtakes those who wait")
  func order() {
    var admission = Admission(policy(calls: 1, queued: 2))
    func arrive(isMeasured: Bool = true) -> Admission.Verdict { admission.arrived(isMeasured: isMeasured) }
    func take() -> Bool { admission.takeQueued() }
    #expect(arrive() == .run)
    #expect(arrive() == .queue)
    admission.ended(isMeasured: true, latency: nil, now: at(0))
    #expect(arrive() == .queue)
    #expect(take())
  }

  @Test("Streams do not stand under the adaptive limit")
  func classes() {
    var admission = Admission(policy(calls: 10, queued: 0, adaptive: (2, 2, 2)))
    func arrive(isMeasured: Bool = true) -> Admission.Verdict { admission.arrived(isMeasured: isMeasured) }
    #expect((0..<3).map { _ in arrive() } == [.run, .run, .shed])
    #expect((0..<9).map { _ in arrive(isMeasured: false) } == Array(repeating: .run, count: 8) + [.shed])
    admission.ended(isMeasured: false, latency: nil, now: at(0))
    #expect(arrive() == .shed)
    var full = Admission(policy(calls: 2, queued: 1))
    let verdicts = [false, false, true].map { full.arrived(isMeasured: $0) }
    #expect(verdicts == [.run, .run, .queue])
  }

  /// Feeds one second of windows with the same latency, all places taken.
  private func feed(_ limit: inout AdaptiveLimit, from start: Int, latency: Duration, running: Int? = nil) {
    for millisecond in start..<start + 1000 {
      limit.ended(latency: latency, running: running ?? limit.limit, now: at(millisecond))
    }
  }

  private func makeLimit(initial: Int, minimum: Int = 10, maximum: Int = 1000) -> AdaptiveLimit {
    var settings = ConcurrencyPolicy.Adaptive()
    (settings.initial, settings.minimum, settings.maximum) = (initial, minimum, maximum)
    return AdaptiveLimit(settings)
  }

  @Test("The limit grows while calls take what they always took, and falls when they take longer")
  func gradient() {
    var limit = makeLimit(initial: 100)
    for second in 0..<5 { feed(&limit, from: second * 1000, latency: .milliseconds(10)) }
    let grown = limit.limit
    #expect(grown > 150)
    for second in 5..<7 { feed(&limit, from: second * 1000, latency: .milliseconds(100)) }
    #expect(limit.limit < grown / 3)
    #expect(limit.limit >= 10)
    for second in 7..<20 { feed(&limit, from: second * 1000, latency: .milliseconds(10)) }
    #expect(limit.limit > 150)
  }

  @Test("Twice the usual latency is no overload; the bounds hold")
  func tolerance() {
    var limit = makeLimit(initial: 100, minimum: 50, maximum: 120)
    feed(&limit, from: 0, latency: .milliseconds(10))
    feed(&limit, from: 1000, latency: .milliseconds(19))
    for second in 2..<20 { feed(&limit, from: second * 1000, latency: .milliseconds(10)) }
    #expect(limit.limit == 120)
    for second in 20..<40 { feed(&limit, from: second * 1000, latency: .seconds(1)) }
    #expect(limit.limit == 50)
  }

  @Test("A server with little to do learns nothing about its limit")
  func quiet() {
    var limit = makeLimit(initial: 100)
    feed(&limit, from: 0, latency: .milliseconds(10), running: 49)
    feed(&limit, from: 1000, latency: .seconds(1), running: 49)
    #expect(limit.limit == 100)
  }

  @Test("A window is judged by ten calls at least, and none takes more than a tenth of the limit")
  func windows() {
    var limit = makeLimit(initial: 100)
    for call in 0..<9 { limit.ended(latency: .milliseconds(10), running: 49, now: at(call * 100)) }
    #expect(limit.usual == nil)
    limit.ended(latency: .milliseconds(10), running: 49, now: at(900))
    #expect(limit.usual != nil)
    for call in 0..<10 { limit.ended(latency: .seconds(100), running: 100, now: at(1000 + call * 20)) }
    #expect(limit.limit == 92)
  }

  /// A server with 8 workers' worth of capacity and offered twice of what it can do: what the simulation of a queue shows.
  @Test("Under twice the load latency stays near the usual one, and the capacity is used")
  func overload() {
    var settings = ConcurrencyPolicy.Adaptive()
    (settings.initial, settings.minimum, settings.maximum) = (200, 5, 1000)
    var policy = ConcurrencyPolicy()
    policy.maxQueuedCalls = 0
    policy.adaptive = settings
    var admission = Admission(policy)
    // A shared processor: a call needs 10 ms of one of 8 cores; above 8 calls all slow down alike.
    var calls: [(left: Double, begun: Int)] = []
    var (finished, slowest) = (0, 0)
    for millisecond in 0..<60_000 {
      // The first ten seconds half of the capacity of 0.8 calls a millisecond, then twice of it.
      let arrivals = millisecond < 10_000 ? (millisecond % 5 < 2 ? 1 : 0) : (millisecond % 5 < 3 ? 2 : 1)
      for _ in 0..<arrivals where admission.arrived(isMeasured: true) == .run { calls.append((10, millisecond)) }
      let speed = min(1, 8 / Double(max(1, calls.count)))
      for index in calls.indices { calls[index].left -= speed }
      for call in calls where call.left <= 0 {
        let latency = millisecond + 1 - call.begun
        admission.ended(isMeasured: true, latency: .milliseconds(latency), now: at(millisecond))
        if millisecond >= 30_000 {
          finished += 1
          slowest = max(slowest, latency)
        }
      }
      calls.removeAll { $0.left <= 0 }
    }
    #expect(slowest < 100)
    #expect(finished > 30_000 * 7 / 10 * 8 / 10)
  }
}
