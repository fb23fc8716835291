import EventLoop
import HTTP2Session
import TestSupport
import Testing
import Transport

@testable import RPCRuntime

@Suite("Balancing over real sockets", .timeLimit(.minutes(1)))
struct BalancingTests {
  /// It was asked three thousand times a second.
  @Test("A server that lets connect and goes at once is asked again with growing waits")
  func briefConnections() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { _, _ in }
      server.onConnect = { peer in
        reactor.schedule(after: .milliseconds(1)) { peer.transport.closeAfterFlush() }
      }
      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(50), limit: .milliseconds(50))
      configuration.service.balancing = .roundRobin
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      _ = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      try await reactor.sleep(for: .milliseconds(500))
      #expect((6...30).contains(server.peers.count))
      channel.close()
      server.stop()
    }
  }

  @Test("round_robin gives each server the same number of calls")
  func roundRobin() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<3 { try await fleet.add() }
      fleet.published = fleet.addresses
      let channel = try fleet.channel()
      _ = try await channel.call(Notes.echo, Note())
      try await reactor.wait { channel.ready.count == 3 }
      let before = fleet.counts.map(\.value)
      for _ in 0..<30 { _ = try await channel.call(Notes.echo, Note()) }
      let taken = zip(fleet.counts, before).map { $0.value - $1 }
      #expect(taken == [10, 10, 10])
      channel.close()
      await fleet.stop()
    }
  }

  @Test("least_request sends calls where fewest are in flight")
  func leastRequest() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<2 {
        try await fleet.add {
          $0.handle(Notes.missing) { request, context in
            try await context.reactor.sleep(for: .seconds(50))
            return request
          }
        }
      }
      fleet.published = fleet.addresses
      let channel = try fleet.channel { $0.service.balancing = .leastRequest(choices: 10) }
      _ = try await channel.call(Notes.echo, Note())
      try await reactor.wait { channel.ready.count == 2 }
      // Calls that hang: each further one goes to the emptier server (both are drawn but once in 500 times).
      let hanging = (0..<10).map { _ in reactor.spawn { try await channel.call(Notes.missing, Note()) } }
      try await reactor.wait { channel.ready.map(\.session.openStreamCount).reduce(0, +) == 10 }
      let loads = channel.ready.map(\.session.openStreamCount)
      #expect(loads.min()! >= 3)
      for call in hanging { call.cancel() }
      for call in hanging { _ = await call.result }
      channel.close()
      await fleet.stop()
    }
  }

  @Test("Servers that are added are found at the rate, and the load evens out to ±10 %")
  func scaleOut() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<3 { try await fleet.add() }
      fleet.published = [fleet.addresses[0]]
      let channel = try fleet.channel()
      for _ in 0..<20 { _ = try await channel.call(Notes.echo, Note()) }
      #expect(fleet.counts.map(\.value) == [20, 0, 0])
      fleet.published = fleet.addresses
      // Nothing but the refresh tells the channel.
      let known = fleet.lookUps
      try await reactor.wait { channel.ready.count == 3 }
      #expect(fleet.lookUps > known)
      let before = fleet.counts.map(\.value)
      let calls = (0..<300).map { _ in reactor.spawn { try await channel.call(Notes.echo, Note()) } }
      for call in calls { _ = try await call.value }
      for (count, before) in zip(fleet.counts, before) { #expect((90...110).contains(count.value - before)) }
      // And scaling in: what is gone takes no more calls.
      fleet.published = [fleet.addresses[2]]
      try await reactor.wait { channel.ready.count == 1 }
      let answer = try await channel.call(Notes.echo, Note())
      #expect(answer.text == "2")
      channel.close()
      await fleet.stop()
    }
  }

  @Test("pick_first passes over an address that refuses, and follows the name to another server")
  func pickFirst() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<2 { try await fleet.add() }
      let gone = RPCServer(on: reactor)
      let nobody = try await gone.listen(on: "127.0.0.1:0")
      await gone.drain(within: .zero)
      fleet.published = [nobody, fleet.addresses[0]]
      let channel = try fleet.channel { $0.service.balancing = .pickFirst }
      #expect(try await channel.call(Notes.echo, Note()).text == "0")
      fleet.published = [nobody, fleet.addresses[1]]
      try await reactor.wait { channel.state != .ready }
      #expect(try await channel.call(Notes.echo, Note()).text == "1")
      channel.close()
      await fleet.stop()
    }
  }

  /// It takes the connection and says nothing more.
  @Test("pick_first goes on to the next address when one does not answer, and lets the silent one go")
  func happyEyeballs() async throws {
    let metrics = RecordedMetrics.shared
    try await onLoop { reactor in
      let silent = try ScriptedServer(on: reactor) { _, _ in }
      silent.onConnect = { $0.isSilent = true }
      let fleet = Fleet(on: reactor)
      try await fleet.add()
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(silent.address),\(fleet.addresses[0])"), on: reactor)
      let begun = Instant.current()
      #expect(try await channel.call(Notes.echo, Note()).text == "0")
      #expect(Instant.current() - begun >= HappyEyeballs.attemptDelay)
      try await reactor.wait { silent.peers.count == 1 && silent.peers[0].isClosed }
      // The first attempt did not fail: it was given up, which counts as nothing (proposal A94).
      func attempts(_ end: String) -> Double {
        metrics.sum("grpc_subchannel_connection_attempts_\(end)_total", ("grpc_target", channel.target.description))
      }
      #expect((attempts("succeeded"), attempts("failed")) == (1, 0))
      channel.close()
      silent.stop()
      await fleet.stop()
    }
  }

  @Test("A channel tells its state and each change of it, to whoever waits for one")
  func states() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      fleet.published = [try SocketAddress(numericHost: "127.0.0.1", port: 1)]
      let channel = try fleet.channel { $0.service.balancing = .pickFirst }
      #expect(channel.state == .idle)
      let seen = reactor.spawn {
        var states = [channel.state]
        while states.last != .closed { states.append(try await channel.state(after: states.last!)) }
        return states
      }
      let impatient = reactor.spawn { try await channel.state(after: .idle) }
      for _ in 0..<10 { await reactor.yield() }
      impatient.cancel()
      await #expect(throws: CancellationError.self) { try await impatient.value }
      let error = await failure { _ = try await channel.call(Notes.echo, Note()) }
      #expect(error?.code == .unavailable)
      #expect(channel.state == .failing)
      try await fleet.add()
      fleet.published = fleet.addresses
      #expect(try await channel.state(after: .failing) == .ready)
      channel.checkIdle(now: .current() + .seconds(3600))
      channel.checkIdle(now: .current() + .seconds(7200))
      #expect(channel.state == .idle)
      for _ in 0..<10 { await reactor.yield() }
      channel.close()
      #expect(try await seen.value == [.idle, .connecting, .failing, .ready, .idle, .closed])
      await fleet.stop()
    }
  }

  @Test("A channel that nobody uses closes its connections, and opens them for the next call")
  func idle() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      try await fleet.add()
      fleet.published = fleet.addresses
      let channel = try fleet.channel { $0.idleTimeout = .seconds(60) }
      _ = try await channel.call(Notes.echo, Note())
      let now = Instant.current()
      channel.checkIdle(now: now)
      channel.checkIdle(now: now + .seconds(30))
      #expect(channel.state == .ready)
      channel.checkIdle(now: now + .seconds(60))
      #expect(channel.state != .ready)
      try await reactor.wait { channel.connections.isEmpty }
      #expect(try await channel.call(Notes.echo, Note()).text == "0")
      channel.close()
      await fleet.stop()
    }
  }

  @Test("A channel that cannot connect goes on trying, but not for ever when nobody uses it")
  func idleWhileFailing() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      fleet.published = [try SocketAddress(numericHost: "127.0.0.1", port: 1)]
      let channel = try fleet.channel { $0.service.balancing = .pickFirst }
      let error = await failure { _ = try await channel.call(Notes.echo, Note()) }
      #expect(error?.code == .unavailable)
      // What looks at the time is there though nothing has ever connected.
      #expect(channel.ticker != nil)
      #expect(channel.balancer.state == .failing)
      let now = Instant.current()
      channel.checkIdle(now: now)
      channel.checkIdle(now: now + .seconds(3600))
      #expect(channel.balancer.state == .idle)
      channel.close()
    }
  }

  @Test("Over one connection's stream limit the calls wait, and the queue has its own limit")
  func queue() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      fleet.published = [try SocketAddress(numericHost: "127.0.0.1", port: 1)]
      let channel = try fleet.channel {
        $0.maxWaitingCalls = 2
        $0.waitForReady = true
      }
      let waiting = (0..<2).map { _ in reactor.spawn { try await channel.call(Notes.echo, Note()) } }
      try await reactor.wait { channel.waiting.count == 2 }
      let error = await failure { _ = try await channel.call(Notes.echo, Note()) }
      #expect(error?.code == .resourceExhausted)
      try await fleet.add()
      fleet.published = fleet.addresses
      for call in waiting { _ = try await call.value }
      channel.close()
      await fleet.stop()
    }
  }
}
