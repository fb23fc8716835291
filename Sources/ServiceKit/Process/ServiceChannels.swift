package import RPCRuntime
internal import EventLoop
internal import ServiceContracts

extension ChannelConfiguration {
  /// How the processes call each other: lost connections are made again soon, dead ones noticed within half a minute.
  ///
  /// - Parameter policy: in place of ``ServiceConfiguration/builtIn(for:)``.
  package static func betweenServices(
    to peer: PeerService, policy: ServiceConfiguration? = nil
  ) -> ChannelConfiguration {
    var configuration = ChannelConfiguration()
    // In one data centre: a replica that starts is to get calls at once, and refused connections cost little.
    configuration.backoff = Backoff(initial: .milliseconds(100), limit: .seconds(2))
    configuration.keepalive = KeepaliveConfiguration(
      time: .seconds(20), timeout: .seconds(10), permitWithoutCalls: true)
    configuration.service = policy ?? .builtIn(for: peer)
    return configuration
  }
}

extension ServiceConfiguration {
  /// What clients of a process do unless a setting says otherwise: every replica that says it takes calls gets some, and
  /// what only reads is repeated while a replica restarts.
  ///
  /// Not repeated: what a lost answer may have done already (a mail sent, a code of Google's used), and
  /// `GetAccessToken`, whose UNAVAILABLE may be Google's and then wants time. For the same reason replicas of `oauth` are
  /// not left out for failures in a row.
  package static func builtIn(for peer: PeerService) -> ServiceConfiguration {
    var configuration = ServiceConfiguration()
    configuration.balancing = .roundRobin
    configuration.healthCheckedService = peer.service
    if peer != .oauth {
      var outliers = OutlierDetection()
      outliers.consecutiveFailures = 5
      configuration.outlierDetection = outliers
    }
    // 0.1 + 0.2 + 0.4 + 0.8 s: longer than a replica takes to come back or its connection to another.
    let reading = MethodConfiguration(repetition: .retry(RetryPolicy(maxAttempts: 5)))
    for method in readingMethods where method.service == peer.service { configuration.configure(method, reading) }
    return configuration
  }

  private static let readingMethods: [MethodDescriptor] = [
    OAuth.getProfile.descriptor, Mailer.getMessage.descriptor, Mailer.listMessages.descriptor,
    Mailer.listSuppressions.descriptor, Reports.getUserReport.descriptor, Reports.getSummary.descriptor,
    Reports.exportMessages.descriptor,
  ]
}
