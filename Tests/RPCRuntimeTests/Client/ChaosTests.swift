import EventLoop
import HTTP2Session
import TestSupport
import Testing
import Transport

@testable import RPCRuntime

@Suite("Servers that go away at the worst time", .timeLimit(.minutes(1)))
struct ChaosTests {
  @Test("GOAWAY that leaves out our stream: the call goes on over another connection, once")
  func goAwayBelowStream() async throws {
    try await onLoop { reactor in
      let requests = Tally()
      let server = try ScriptedServer(on: reactor) { peer, stream in
        requests.add(1)
        if requests.value == 1 { return peer.goAwayKnowingNothing() }
        peer.begin(stream, with: Note("answered"))
        peer.end(stream)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let reply = try await channel.call(Notes.echo, Note(""))
      #expect(reply.text == "answered")
      #expect(requests.value == 2)
      #expect(server.peers.count == 2)
      channel.close()
      server.stop()
    }
  }

  /// The limit ended with the connect; ten seconds for the SETTINGS could not be changed.
  @Test("A server that accepts the connection and says nothing is given up after the time to connect")
  func silentServer() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { _, _ in }
      server.onConnect = { $0.isSilent = true }
      var configuration = ChannelConfiguration()
      configuration.connectTimeout = .milliseconds(100)
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unavailable)
      #expect(error?.message.contains("SETTINGS") == true)
      channel.close()
      server.stop()
    }
  }

  @Test("A stream that is refused twice fails with UNAVAILABLE: the server means it")
  func refusedTwice() async throws {
    try await onLoop { reactor in
      let requests = Tally()
      let server = try ScriptedServer(on: reactor) { peer, stream in
        requests.add(1)
        peer.session.reset(stream, .refusedStream)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unavailable)
      #expect(requests.value == 2)
      channel.close()
      server.stop()
    }
  }

  @Test("Connections that say GOAWAY together with their SETTINGS lose no call")
  func goAwayAtOnce() async throws {
    try await onLoop { reactor in
      let connections = Tally()
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note("\(connections.value)"))
        peer.end(stream)
      }
      server.onConnect = { peer in
        connections.add(1)
        // The first four take nothing, whenever the request comes.
        if connections.value < 5 { peer.session.terminate(.noError) }
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let calls = (0..<10).map { _ in reactor.spawn { try await channel.call(Notes.echo, Note("")).text } }
      for call in calls {
        let text = try await call.value
        #expect(text == "5")
      }
      channel.close()
      server.stop()
    }
  }

  @Test("A server killed in the middle of a stream: what came is delivered, then UNAVAILABLE; the next call goes on")
  func killedMidStream() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note("first"))
        if peer.requests == 1 { reactor.schedule(after: .milliseconds(30)) { peer.transport.close() } }
      }
      // Not repeated, though its policy would: the server has answered.
      var configuration = ChannelConfiguration()
      configuration.service.defaults.repetition = .retry(RetryPolicy())
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      let responses = try channel.call(Notes.count, Note("")).responses
      let first = try await responses.next()
      #expect(first?.text == "first")
      let error = await failure { _ = try await responses.next() }
      #expect(error?.code == .unavailable)
      #expect(server.peers.map(\.requests) == [1])
      let again = try channel.call(Notes.count, Note("")).responses
      let next = try await again.next()
      #expect(next?.text == "first")
      channel.close()
      server.stop()
    }
  }

  @Test("Servers are restarted in turn under load: no call that may be repeated fails")
  func rollingRestart() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<2 { try await fleet.add() }
      fleet.published = fleet.addresses
      let channel = try fleet.channel {
        $0.service.configure(
          service: "test.Notes",
          MethodConfiguration(
            repetition: .retry(RetryPolicy(maxAttempts: 5, initialBackoff: .milliseconds(20)))))
      }
      let (stop, answered) = (Tally(), Tally())
      let load = (0..<8).map { _ in
        reactor.spawn {
          while stop.value == 0 {
            _ = try await channel.call(Notes.echo, Note(), options: CallOptions(waitForReady: true))
            answered.add(1)
          }
        }
      }
      for round in 0..<6 {
        let enough = answered.value + 50
        try await reactor.wait { answered.value >= enough }
        // Every second one cancels what it has in flight instead of letting it end.
        await fleet.servers[round].drain(within: round % 2 == 0 ? .seconds(5) : .zero)
        try await fleet.add(at: "\(fleet.addresses[round])")
      }
      let enough = answered.value + 50
      try await reactor.wait { answered.value >= enough }
      stop.add(1)
      for task in load { try await task.value }
      channel.close()
      await fleet.stop()
    }
  }

  @Test("All servers of a name are replaced by one elsewhere: calls that wait reach it")
  func moved() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for _ in 0..<3 { try await fleet.add() }
      fleet.published = [fleet.addresses[0], fleet.addresses[1]]
      let channel = try fleet.channel { $0.resolution.refreshInterval = nil }
      _ = try await channel.call(Notes.echo, Note())
      fleet.published = [fleet.addresses[2]]
      for server in fleet.servers.prefix(2) { await server.drain(within: .zero) }
      // The lost connections alone make the channel look the name up again.
      let reply = try await channel.call(Notes.echo, Note(), options: CallOptions(waitForReady: true))
      #expect(reply.text == "2")
      channel.close()
      await fleet.stop()
    }
  }
}
