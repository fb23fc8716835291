import EventLoop

extension RPCChannel {
  /// What the channel is doing now.
  package func report(_ limits: ReportLimits = ReportLimits()) -> ChannelReport {
    let now = Instant.current()
    return ChannelReport(
      target: target.description, state: balancer.state.rawValue, balancing: balancer.policy.description,
      waitingCalls: waiting.count, retryTokens: throttle.tokensLeft, maxRetryTokens: throttle.maxTokens,
      lastFailure: lastFailure?.message, nextAttemptIn: untilAttempt(Balancer.roundKey, now: now),
      subchannelCount: balancer.links.count,
      subchannels: balancer.links.prefix(limits.connections).map { report($0, limits, now: now) },
      draining: retired.prefix(limits.connections).map { $0.report(limits, now: now) })
  }

  private func report(_ link: Balancer.Link, _ limits: ReportLimits, now: Instant) -> SubchannelReport {
    SubchannelReport(
      address: link.address.description, state: link.phase.rawValue,
      isServing: balancer.checksHealth ? link.isServing : nil, isEjected: outliers?.isEjected(link.id) ?? false,
      nextAttemptIn: untilAttempt(link.id, now: now),
      connection: subchannels[link.id]?.connection?.report(limits, now: now))
  }

  private func untilAttempt(_ key: Int, now: Instant) -> Duration? {
    backoffTimers[key].map { max(.zero, $0.deadline - now) }
  }
}

extension LoadBalancingPolicy: CustomStringConvertible {
  /// As a service config names it.
  public var description: String {
    switch kind {
    case .pickFirst: "pick_first"
    case .roundRobin: "round_robin"
    case .leastRequest(let choices): "least_request(\(choices))"
    }
  }
}
