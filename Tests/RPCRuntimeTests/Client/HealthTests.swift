import EventLoop
import HTTP2Session
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("Keepalive, health and outliers over real sockets", .timeLimit(.minutes(1)))
struct HealthTests {
  @Test("A connection into the void is closed by keepalive, and its calls end with UNAVAILABLE")
  func blackHole() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, _ in peer.isSilent = true }
      var configuration = ChannelConfiguration()
      configuration.keepalive = KeepaliveConfiguration(
        exactly: .milliseconds(20), timeout: .milliseconds(50), permitWithoutCalls: false)
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("keepalive") == true)
      #expect(channel.state != .ready)
      channel.close()
      server.stop()
    }
  }

  @Test("A slow handler's connection lives: the pings are answered")
  func slowIsNotDead() async throws {
    var configuration = ChannelConfiguration()
    configuration.keepalive = KeepaliveConfiguration(
      exactly: .milliseconds(10), timeout: .seconds(40), permitWithoutCalls: false)
    try await withPair(channel: configuration) {
      $0.handle(Notes.echo) { request, context in
        try await context.reactor.sleep(for: .milliseconds(200))
        return request
      }
    } _: { channel, _ in
      let reply = try await channel.call(Notes.echo, Note("slow"))
      #expect(reply.text == "slow")
    }
  }

  @Test(
    "A server that finds the pings too many is pinged half as often, one that finds something else too much is not",
    arguments: [true, false])
  func tooManyPings(isAboutPings: Bool) async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note("calm"))
        peer.end(stream)
      }
      let connections = Tally()
      server.onConnect = { peer in
        connections.add(1)
        guard connections.value == 1 else { return }
        peer.session.terminate(.enhanceYourCalm, reason: isAboutPings ? "too_many_pings" : "too_many_resets")
      }
      var configuration = ChannelConfiguration()
      configuration.keepalive = KeepaliveConfiguration(time: .seconds(10))
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      _ = try await channel.call(Notes.echo, Note(""))
      #expect(channel.keepalive?.time == .seconds(isAboutPings ? 20 : 10))
      channel.close()
      server.stop()
    }
  }

  @Test("Calls go only where the service is well, and come back when it is well again")
  func healthWatch() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      let registries = [HealthRegistry(services: ["test.Notes"]), HealthRegistry(services: ["test.Notes"])]
      for registry in registries { try await fleet.add { $0.serveHealth(of: registry) } }
      registries[1].set(.serving, for: "test.Notes")
      fleet.published = fleet.addresses
      let channel = try fleet.channel { $0.service.healthCheckedService = "test.Notes" }
      for _ in 0..<10 { _ = try await channel.call(Notes.echo, Note()) }
      #expect(fleet.counts.map(\.value) == [0, 10])
      registries[0].set(.serving, for: "test.Notes")
      try await reactor.wait { channel.ready.count == 2 }
      registries[1].set(.notServing, for: "test.Notes")
      try await reactor.wait { channel.ready.count == 1 }
      #expect(try await channel.call(Notes.echo, Note()).text == "0")
      registries[0].set(.notServing, for: "test.Notes")
      try await reactor.wait { channel.ready.isEmpty }
      let error = await failure { _ = try await channel.call(Notes.echo, Note()) }
      #expect(error?.code == .unavailable)
      // The watches keep no channel from being idle.
      let now = Instant.current()
      channel.checkIdle(now: now)
      channel.checkIdle(now: now + .seconds(3600))
      try await reactor.wait { channel.connections.isEmpty }
      channel.close()
      await fleet.stop()
    }
  }

  /// The watch held the channel, which held the watch.
  @Test("A channel that is let go closes its connections, also when it watches their health", arguments: [false, true])
  func letGo(watchesHealth: Bool) async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      let registry = HealthRegistry(services: ["test.Notes"])
      registry.set(.serving, for: "test.Notes")
      let server = try await fleet.add { $0.serveHealth(of: registry) }
      fleet.published = fleet.addresses
      func callOnce() async throws {
        let channel = try fleet.channel { if watchesHealth { $0.service.healthCheckedService = "test.Notes" } }
        _ = try await channel.call(Notes.echo, Note())
      }
      try await callOnce()
      try await reactor.wait { server.connections.isEmpty }
      await fleet.stop()
    }
  }

  /// It went on as a call of the channel, on any connection or, before one was well, in the queue for one.
  @Test("A health watch that is refused or fails is begun again on its own connection", arguments: [true, false])
  func watchStays(isRefused: Bool) async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        switch peer.requests {
        case 1 where isRefused: peer.session.reset(stream, .refusedStream)
        case 1: peer.fail(stream, .unavailable)
        case 2: peer.begin(stream, with: HealthCheckResponse(.serving))
        default:
          peer.begin(stream, with: Note("well"))
          peer.end(stream)
        }
      }
      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(5), limit: .milliseconds(20))
      configuration.service.balancing = .roundRobin
      configuration.service.healthCheckedService = ""
      configuration.service.defaults.repetition = .retry(RetryPolicy(initialBackoff: .milliseconds(1)))
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      let reply = try await channel.call(
        Notes.echo, Note(""), options: CallOptions(timeout: .seconds(20), waitForReady: true))
      #expect(reply.text == "well")
      try await reactor.wait { channel.ready.first?.session.openStreamCount == 1 }
      #expect(channel.ready.first?.callCount == 0)
      channel.close()
      server.stop()
    }
  }

  /// Any number of watches lasted beside the limit.
  @Test("Health watches count among the calls: one that there is no room for finds the server unwell, until there is")
  func refusedWatch() async throws {
    var configuration = ServerConfiguration()
    configuration.concurrency.maxCalls = 2
    let registry = HealthRegistry()
    registry.setAll(.serving)
    try await withPair(server: configuration) {
      $0.serveHealth(of: registry)
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let watches = try (0..<2).map { _ in try channel.call(Health.watch, HealthCheckRequest()) }
      for watch in watches { #expect(try await watch.responses.next()?.status == .serving) }
      let third = try channel.call(Health.watch, HealthCheckRequest())
      let refusal = await failure { _ = try await third.responses.next() }
      #expect(refusal?.code == .resourceExhausted)
      #expect(try await channel.call(Health.check, HealthCheckRequest()).status == .serving)
      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(5), limit: .milliseconds(20))
      configuration.service.balancing = .roundRobin
      configuration.service.healthCheckedService = ""
      let careful = RPCChannel(to: channel.target, on: channel.reactor, configuration: configuration)
      let refused = await failure { _ = try await careful.call(Notes.echo, Note("")) }
      #expect(refused?.code == .unavailable)
      for watch in watches { watch.cancel() }
      let reply = try await careful.call(
        Notes.echo, Note("room"), options: CallOptions(timeout: .seconds(20), waitForReady: true))
      #expect(reply.text == "room")
      careful.close()
    }
  }

  @Test("A failing health watch is no failure of the server's calls")
  func watchIsNoCall() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      let watches = Tally()
      try await fleet.add { server in
        server.handle(Health.watch) { _, _, _ in
          watches.add(1)
          throw RPCError(.internal, "broken")
        }
      }
      try await fleet.add()
      fleet.published = fleet.addresses
      let channel = try fleet.channel {
        $0.service.healthCheckedService = ""
        var outliers = OutlierDetection()
        outliers.consecutiveFailures = 1
        $0.service.outlierDetection = outliers
      }
      _ = try await channel.call(Notes.echo, Note(), options: CallOptions(waitForReady: true))
      // The second one begins after the first has ended.
      try await reactor.wait { watches.value >= 2 }
      #expect(channel.report().subchannels.map(\.isEjected) == [false, false])
      channel.close()
      await fleet.stop()
    }
  }

  @Test("A server without the health service takes calls")
  func noHealthService() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      try await fleet.add()
      fleet.published = fleet.addresses
      let channel = try fleet.channel { $0.service.healthCheckedService = "" }
      #expect(try await channel.call(Notes.echo, Note()).text == "0")
      channel.close()
      await fleet.stop()
    }
  }

  /// Each one that a hedge or a caller gave up counted as a success, and ended the row of failures.
  @Test("A cancelled call says nothing about the server that it was for")
  func cancelledIsNoSuccess() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<2 { try await fleet.add() }
      fleet.published = fleet.addresses
      let channel = try fleet.channel { $0.service.outlierDetection = OutlierDetection() }
      _ = try await channel.call(Notes.echo, Note())
      let link = channel.ready[0].link
      for _ in 0..<4 { channel.attemptEnded(link, .unavailable) }
      channel.attemptEnded(link, .cancelled)
      #expect(channel.outliers?.isEjected(link) == false)
      channel.attemptEnded(link, .unavailable)
      #expect(channel.outliers?.isEjected(link) == true)
      channel.close()
      await fleet.stop()
    }
  }

  /// A server that stopped in order was ejected for it.
  @Test("A call that the server has certainly not processed says nothing against it")
  func refusedIsNoFailure() async throws {
    try await onLoop { reactor in
      let refusals = Tally()
      let servers = try (0..<2).map { number in
        try ScriptedServer(on: reactor) { peer, stream in
          if number == 0, peer.requests == 1 {
            refusals.add(1)
            return peer.session.reset(stream, .refusedStream)
          }
          peer.begin(stream, with: Note("well"))
          peer.end(stream)
        }
      }
      var configuration = ChannelConfiguration()
      configuration.service.balancing = .roundRobin
      var outliers = OutlierDetection()
      outliers.consecutiveFailures = 1
      configuration.service.outlierDetection = outliers
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(servers[0].address),\(servers[1].address)"), on: reactor,
        configuration: configuration)
      _ = try await channel.call(Notes.echo, Note(""))
      try await reactor.wait { channel.balancer.ready.count == 2 }
      for _ in 0..<4 { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(refusals.value == 1)
      #expect(channel.report().subchannels.map(\.isEjected) == [false, false])
      channel.close()
      for server in servers { server.stop() }
    }
  }

  @Test("A server that only fails gets no more calls")
  func outlier() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<2 { try await fleet.add() }
      let bad = RPCServer(on: reactor)
      let failures = Tally()
      bad.handle(Notes.echo) { _, _ in
        failures.add(1)
        throw RPCError(.internal, "broken")
      }
      fleet.published = fleet.addresses + [try await bad.listen(on: "127.0.0.1:0")]
      let channel = try fleet.channel { $0.service.outlierDetection = OutlierDetection() }
      _ = await failure { _ = try await channel.call(Notes.echo, Note()) }
      try await reactor.wait { channel.ready.count == 3 }
      while failures.value < 5 { _ = await failure { _ = try await channel.call(Notes.echo, Note()) } }
      for _ in 0..<30 { _ = try await channel.call(Notes.echo, Note()) }
      #expect(failures.value == 5)
      channel.close()
      await fleet.stop()
      await bad.drain(within: .seconds(1))
    }
  }
}
