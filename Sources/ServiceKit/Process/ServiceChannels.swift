package import RPCRuntime
internal import EventLoop
internal import ServiceContracts

extension ChannelConfiguration {
  /// How the processes call each other: a connection to every replica, lost ones made again soon, dead ones noticed within
  /// half a minute. What only reads is repeated while a replica restarts.
  ///
  /// Not repeated: what a lost answer may have done already (a mail sent, a code of Google's used), and
  /// `GetAccessToken`, whose UNAVAILABLE may be Google's and then wants time.
  package static var betweenServices: ChannelConfiguration {
    var configuration = ChannelConfiguration()
    // In one data centre: a replica that starts is to get calls at once, and refused connections cost little.
    configuration.backoff = Backoff(initial: .milliseconds(100), limit: .seconds(2))
    configuration.keepalive = KeepaliveConfiguration(
      time: .seconds(20), timeout: .seconds(10), permitWithoutCalls: true)
    configuration.service.balancing = .roundRobin
    // 0.1 + 0.2 + 0.4 + 0.8 s: longer than a replica takes to come back or its connection to another.
    let reading = MethodConfiguration(repetition: .retry(RetryPolicy(maxAttempts: 5)))
    for method in readingMethods { configuration.service.configure(method, reading) }
    return configuration
  }

  private static let readingMethods: [MethodDescriptor] = [
    OAuth.getProfile.descriptor, Mailer.getMessage.descriptor, Mailer.listMessages.descriptor,
    Mailer.listSuppressions.descriptor, Reports.getUserReport.descriptor, Reports.getSummary.descriptor,
    Reports.exportMessages.descriptor,
  ]
}
