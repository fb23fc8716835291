package import RPCRuntime
internal import ServiceContracts
internal import TLSSession

extension ServiceLoop {
  /// A server whose calls carry a verified context, and which tells its health and its schemas. Register the service's
  /// methods, then `listen`.
  ///
  /// - Parameter services: the full names for `grpc.health.v1`: each says whether calls are of use here; "" says whether the
  ///   process is ready with all that it needs.
  package func makeRPCServer(
    _ rpc: RPCSettings, services: [String], configuration: ServerConfiguration = ServerConfiguration()
  ) -> RPCServer {
    var configuration = configuration
    configuration.connections = Self.connectionPolicy
    configuration.concurrency.adaptive = Self.adaptive
    configuration.tracer = tracer
    configuration.completesError = { $0.withReason }
    let server = RPCServer(on: reactor, configuration: configuration, logger: logger)
    server.use(CallContextInterceptor(keys: rpc.contextKeys, clock: readiness.clock, logger: logger))
    // Inside the other, whose context the lines carry.
    server.use(CallLog(logger, namesRequest: false))
    let health = HealthRegistry(services: services)
    server.serveHealth(of: health)
    do {
      try server.serveReflection(of: ServiceSchemas.files)
    } catch {
      preconditionFailure("Proto/: \(error)")
    }
    readiness.observe { standing in
      health.set(standing.isReady ? .serving : .notServing, for: "")
      for service in services { health.set(standing.takesCalls ? .serving : .notServing, for: service) }
    }
    keep(server)
    return server
  }

  /// Connections grow old, so that clients find the processes that were added, and their calls get longer than any that
  /// has an end needs: an export has 600 s. Who calls nothing keeps no place. And clients that look after theirs may ask
  /// every ten seconds, give or take what the way adds.
  private static var connectionPolicy: ConnectionPolicy {
    var policy = ConnectionPolicy()
    policy.maxAge = .seconds(1800)
    policy.maxAgeGrace = .seconds(900)
    policy.maxIdle = .seconds(600)
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

  /// A channel to another process, which must prove its SPIFFE name.
  ///
  /// - Parameter maxResponseBytes: the runtime's limit when nil.
  package func makeChannel(
    to peer: PeerService, at target: ChannelTarget, _ rpc: RPCSettings, maxResponseBytes: Int? = nil
  ) throws -> RPCChannel {
    var security = ChannelSecurity.plaintext
    if let context = rpc.identity.clientContext {
      security = .tls(context, peer: .uri(RPCIdentity.spiffeID(of: peer.rawValue)))
    }
    var configuration = ChannelConfiguration.betweenServices(to: peer, policy: rpc.policies[peer])
    configuration.tracer = tracer
    if let maxResponseBytes { configuration.maxResponseBytes = maxResponseBytes }
    let channel = RPCChannel(
      to: target, security: security, on: reactor, configuration: configuration, logger: logger)
    keep(channel)
    return channel
  }

  /// Keeps the process not ready while no replica of the other one takes calls. Not vital: one missing dependency must not
  /// take every process out of service in turn.
  package func check(_ peer: PeerService, through channel: RPCChannel) {
    check(peer.rawValue, every: .seconds(2), isVital: false) {
      _ = try await channel.unary(
        Health.check, HealthCheckRequest(), options: CallOptions(timeout: .seconds(1), waitForReady: true))
    }
  }
}
