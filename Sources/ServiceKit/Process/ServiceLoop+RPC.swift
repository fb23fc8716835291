package import RPCRuntime
internal import ServiceContracts
internal import TLSSession

extension ServiceLoop {
  /// A server whose calls carry a verified context, and which tells its health and its schemas. Register the service's
  /// methods, then `listen`.
  ///
  /// - Parameter services: the full names for `grpc.health.v1`; all follow the process's readiness.
  package func makeRPCServer(
    _ rpc: RPCSettings, services: [String], configuration: ServerConfiguration = ServerConfiguration()
  ) -> RPCServer {
    var configuration = configuration
    configuration.connections = Self.connectionPolicy
    configuration.concurrency.adaptive = Self.adaptive
    let server = RPCServer(on: reactor, configuration: configuration, logger: logger)
    server.use(CallContextInterceptor(keys: rpc.contextKeys, logger: logger))
    let health = HealthRegistry(services: services)
    server.serveHealth(of: health)
    do {
      try server.serveReflection(of: ServiceSchemas.files)
    } catch {
      preconditionFailure("Proto/: \(error)")
    }
    readiness.observe { isReady in health.setAll(isReady ? .serving : .notServing) }
    return server
  }

  /// Connections grow old, so that clients find the processes that were added; and clients that look after theirs may
  /// ask every ten seconds, give or take what the way adds.
  private static var connectionPolicy: ConnectionPolicy {
    var policy = ConnectionPolicy()
    policy.maxAge = .seconds(1800)
    policy.minPingInterval = .seconds(5)
    policy.allowsPingsWithoutCalls = true
    policy.keepaliveTime = .seconds(60)
    return policy
  }

  /// One edge's burst is no overload: below 64 calls at one time nothing is turned away.
  private static var adaptive: ConcurrencyPolicy.Adaptive {
    var adaptive = ConcurrencyPolicy.Adaptive()
    adaptive.initial = 256
    adaptive.minimum = 64
    return adaptive
  }

  /// A channel to another service, which must prove its SPIFFE name.
  ///
  /// - Parameter service: `oauth`, `mailer` or `report`.
  package func makeChannel(
    to service: String, at target: ChannelTarget, _ identity: RPCIdentity,
    configuration: ChannelConfiguration = .betweenServices
  ) throws -> RPCChannel {
    var security = ChannelSecurity.plaintext
    if let context = try identity.clientContext() {
      security = .tls(context, peer: .uri(RPCIdentity.spiffeID(of: service)))
    }
    return RPCChannel(
      to: target, security: security, on: reactor, configuration: configuration, logger: logger)
  }

  /// Keeps the process not ready while the other service does not answer. What that service itself waits for does not
  /// matter here: one missing dependency must not take every process out of service in turn.
  package func check(_ service: String, through channel: RPCChannel) {
    check(service, every: .seconds(2)) {
      _ = try await channel.unary(
        Health.check, HealthCheckRequest(), options: CallOptions(timeout: .seconds(1), waitForReady: true))
    }
  }
}
