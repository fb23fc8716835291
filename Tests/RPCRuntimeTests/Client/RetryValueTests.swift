import Testing

@testable import RPCRuntime

@Suite("Retries and hedges as values")
struct RetryValueTests {
  private let policy = RetryPolicy(
    maxAttempts: 4, initialBackoff: .milliseconds(100), maxBackoff: .milliseconds(250), backoffMultiplier: 2,
    retryableCodes: [.unavailable, .aborted])

  private func next(
    _ state: inout RetryState, _ code: StatusCode = .unavailable, _ pushback: Pushback = .none,
    timeLeft: Duration? = nil, random: Double = 0.5
  ) -> Duration? {
    var throttle = RetryThrottle()
    return state.next(
      after: code, pushback, timeLeft: timeLeft, policy: policy, throttle: &throttle, random: random)
  }

  @Test("Waits grow to the limit, ±20 %, and the attempts are counted")
  func backoff() {
    var state = RetryState()
    #expect(next(&state) == .milliseconds(100))
    #expect(next(&state, random: 0) == .milliseconds(160))
    #expect(next(&state, .aborted, random: 1) == .milliseconds(300))
    #expect(state.previousAttempts == 3)
    #expect(next(&state) == nil)
  }

  @Test("A retry that the deadline forbids is none, and is not counted")
  func deadline() {
    var state = RetryState()
    #expect(next(&state, timeLeft: .milliseconds(100)) == nil)
    #expect(next(&state, .unavailable, .delay(.seconds(2)), timeLeft: .seconds(2)) == nil)
    #expect(state.previousAttempts == 0)
    var hopeful = RetryState()
    #expect(next(&hopeful, timeLeft: .milliseconds(101)) == .milliseconds(100))
    #expect(hopeful.previousAttempts == 1)
  }

  @Test("Other codes are final; 2 to 5 attempts")
  func codes() {
    var state = RetryState()
    #expect(next(&state, .internal) == nil)
    #expect(next(&state, .ok) == nil)
    #expect(state.previousAttempts == 0)
    #expect(RetryPolicy(maxAttempts: 1).maxAttempts == 2)
    #expect(RetryPolicy(maxAttempts: 6).maxAttempts == 5)
    #expect(HedgingPolicy(maxAttempts: 6, delay: .zero).maxAttempts == 5)
  }

  @Test("The server's delay takes the place of ours and begins the back-off anew; its refusal ends it")
  func pushback() {
    var state = RetryState()
    _ = next(&state)
    #expect(next(&state, .unavailable, .delay(.milliseconds(7))) == .milliseconds(7))
    #expect(next(&state) == .milliseconds(100))
    var stopped = RetryState()
    #expect(next(&stopped, .unavailable, .stop) == nil)
  }

  @Test(
    "grpc-retry-pushback-ms",
    arguments: [
      ("0", Pushback.delay(.zero)), ("1500", .delay(.milliseconds(1500))), ("-1", .stop), ("", .stop), ("soon", .stop),
      ("300000", .delay(.seconds(300))), ("300001", .stop), ("999999999", .stop), ("1000000000", .stop),
    ])
  func pushbackValue(text: String, pushback: Pushback) {
    #expect(Pushback(value: Array(text.utf8)) == pushback)
  }

  @Test("With half of the tokens nothing is repeated; successes give them back by the ratio")
  func throttle() {
    var throttle = RetryThrottle(maxTokens: 10, ratio: 0.5)
    for _ in 0..<4 { throttle.failed() }
    #expect(throttle.allows)
    throttle.failed()
    #expect(!throttle.allows)
    throttle.succeeded()
    #expect(throttle.allows)
    for _ in 0..<100 { throttle.failed() }
    for _ in 0..<10 { throttle.succeeded() }
    #expect(!throttle.allows)
    throttle.succeeded()
    #expect(throttle.allows)
    var state = RetryState()
    #expect(
      state.next(after: .unavailable, .none, timeLeft: nil, policy: policy, throttle: &throttle, random: 0.5) == nil)
    var generous = RetryThrottle(maxTokens: 2, ratio: 100)
    generous.failed()
    generous.succeeded()
    #expect(generous.tokensLeft == 2)
    // Also what is never repeated costs, where the server wants no more; and nothing else does.
    for pushback in [Pushback.stop, .none] {
      #expect(
        state.next(after: .internal, pushback, timeLeft: nil, policy: policy, throttle: &generous, random: 0.5) == nil)
    }
    #expect(generous.tokensLeft == 1)
  }

  @Test("A hedge goes after the delay, or at once after a failure that is not final; the first answer counts")
  func hedging() {
    var state = HedgeState(HedgingPolicy(maxAttempts: 3, delay: .milliseconds(5)))
    #expect(state.begin() == [.send(0), .schedule(.milliseconds(5))])
    #expect(state.delayElapsed(mayHedge: true) == [.send(1), .schedule(.milliseconds(5))])
    #expect(state.ended(0, .unavailable, .none, mayHedge: true) == [.send(2)])
    #expect(state.delayElapsed(mayHedge: true) == [])
    #expect(state.ended(2, .ok, .none, mayHedge: true) == [.conclude(2)])
    #expect(state.ended(1, .cancelled, .none, mayHedge: true) == [])
  }

  @Test("A final failure ends it; so does the last of the others")
  func hedgingFailures() {
    var fatal = HedgeState(HedgingPolicy(maxAttempts: 2, delay: .milliseconds(5)))
    _ = fatal.begin()
    #expect(fatal.ended(0, .notFound, .none, mayHedge: true) == [.conclude(0)])
    var failing = HedgeState(HedgingPolicy(maxAttempts: 2, delay: .milliseconds(5)))
    _ = failing.begin()
    #expect(failing.ended(0, .unavailable, .none, mayHedge: true) == [.send(1)])
    #expect(failing.ended(1, .unavailable, .none, mayHedge: true) == [.conclude(1)])
  }

  @Test("Without budget no hedge goes, nor after the server's refusal; its delay counts")
  func hedgingBounds() {
    let policy = HedgingPolicy(maxAttempts: 3, delay: .milliseconds(5))
    var poor = HedgeState(policy)
    _ = poor.begin()
    #expect(poor.delayElapsed(mayHedge: false) == [])
    #expect(poor.ended(0, .unavailable, .none, mayHedge: false) == [.conclude(0)])
    var refused = HedgeState(policy)
    _ = refused.begin()
    _ = refused.delayElapsed(mayHedge: true)
    #expect(refused.ended(0, .unavailable, .stop, mayHedge: true) == [])
    #expect(refused.delayElapsed(mayHedge: true) == [])
    #expect(refused.ended(1, .unavailable, .none, mayHedge: true) == [.conclude(1)])
    var delayed = HedgeState(policy)
    _ = delayed.begin()
    #expect(delayed.ended(0, .unavailable, .delay(.seconds(1)), mayHedge: true) == [.schedule(.seconds(1))])
    #expect(delayed.delayElapsed(mayHedge: false) == [.conclude(0)])
  }

  /// The call outlived its deadline by as much, and then began an attempt.
  @Test("No hedge waits or begins beyond the deadline")
  func hedgingDeadline() {
    let policy = HedgingPolicy(maxAttempts: 4, delay: .milliseconds(5))
    func ended(_ state: inout HedgeState, _ number: Int, _ pushback: Pushback, _ timeLeft: Duration)
      -> [HedgeState.Action]
    {
      state.ended(number, .unavailable, pushback, mayHedge: true, timeLeft: timeLeft)
    }
    var alone = HedgeState(policy)
    _ = alone.begin()
    #expect(ended(&alone, 0, .delay(.seconds(1)), .seconds(1)) == [.conclude(0)])
    var hopeful = HedgeState(policy)
    _ = hopeful.begin()
    #expect(ended(&hopeful, 0, .delay(.seconds(1)), .milliseconds(1001)) == [.schedule(.seconds(1))])
    // The time has gone meanwhile.
    #expect(hopeful.delayElapsed(mayHedge: true, timeLeft: .zero) == [.conclude(0)])
    var several = HedgeState(policy)
    _ = several.begin()
    _ = several.delayElapsed(mayHedge: true, timeLeft: .seconds(1))
    #expect(ended(&several, 0, .delay(.seconds(1)), .seconds(1)) == [])
    #expect(several.delayElapsed(mayHedge: true, timeLeft: .seconds(1)) == [])
    #expect(ended(&several, 1, .none, .seconds(1)) == [.conclude(1)])
    var late = HedgeState(policy)
    _ = late.begin()
    #expect(late.delayElapsed(mayHedge: true, timeLeft: .zero) == [])
    #expect(ended(&late, 0, .none, .zero) == [.conclude(0)])
  }
}
