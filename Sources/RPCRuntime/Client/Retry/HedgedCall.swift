import EventLoop

/// One unary call as several attempts at once. Lives on its loop.
final class HedgedCall: PausedCall {
  private let channel: RPCChannel
  private let prepared: PreparedCall
  private let settings: MethodSettings
  private let policy: HedgingPolicy
  private let send: (ClientCall) -> Void
  private var state: HedgeState
  private var attempts: [ClientCall] = []
  private var timer: Timer?
  private var waiter: Waiter<Void>?
  private var winner: ClientCall?
  private var isOver = false
  private let startedAt = Instant.current()

  /// - Parameter send: writes the request to an attempt.
  init(
    _ prepared: PreparedCall, _ policy: HedgingPolicy, on channel: RPCChannel, send: @escaping (ClientCall) -> Void
  ) {
    self.prepared = prepared
    self.channel = channel
    self.send = send
    self.policy = policy
    state = HedgeState(policy)
    settings = channel.settings(of: prepared.method)
  }

  /// Runs the attempts.
  ///
  /// - Returns: the one whose outcome is the call's.
  func run() async throws(RPCError) -> ClientCall {
    channel.paused(self)
    defer { channel.resumed(self) }
    perform(state.begin())
    if winner == nil {
      do {
        try await channel.reactor.wait { waiter = $0 }
      } catch {
        waiter = nil
        let outcome = error as? RPCError ?? RPCError(.cancelled, "the call was cancelled", cause: error)
        finish(outcome)
        throw outcome
      }
    }
    guard let winner else { throw RPCError(.internal, "a hedged call ended without an attempt") }
    return winner
  }

  func end(_ error: RPCError) {
    guard let waiter else { return }
    self.waiter = nil
    finish(error)
    waiter.resume(throwing: error)
  }

  private var timeLeft: Duration? { prepared.deadline.map { $0 - .current() } }

  private func perform(_ actions: [HedgeState.Action]) {
    for action in actions {
      switch action {
      case .send(let number): start(number)
      case .schedule(let delay):
        timer?.cancel()
        timer = channel.reactor.schedule(after: delay) { [weak self] in
          guard let self else { return }
          perform(state.delayElapsed(mayHedge: channel.throttle.allows, timeLeft: timeLeft))
        }
      case .conclude(let number):
        winner = attempts[number]
        finish(attempts[number].outcome?.error)
        waiter?.resume(returning: ())
        waiter = nil
      }
    }
  }

  private func start(_ number: Int) {
    let attempt = ClientCall(channel: channel, prepared, role: .hedge(number))
    attempts.append(attempt)
    attempt.onEnd = { [weak self] in self?.ended(number) }
    send(attempt)
    attempt.finishWriting()
    channel.submit(attempt)
  }

  private func ended(_ number: Int) {
    let attempt = attempts[number]
    let code = attempt.outcome?.error?.code ?? .ok
    if policy.nonFatalCodes.contains(code) || attempt.pushback == .stop { channel.throttle.failed() }
    perform(state.ended(number, code, attempt.pushback, mayHedge: channel.throttle.allows, timeLeft: timeLeft))
  }

  private func finish(_ error: RPCError?) {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    timer = nil
    let duration = Instant.current() - startedAt
    settings.metrics.callEnded(error?.code ?? .ok, duration, hedges: attempts.count - 1)
    channel.callEnded(prepared, error, duration)
    for attempt in attempts {
      attempt.onEnd = nil
      attempt.end(RPCError(.cancelled, "another attempt answered first"))
    }
  }
}
