import EventLoop
import Testing

@testable import RPCRuntime

/// Between two loops: on a single one each side's work wakes the other, and no answer comes at the end of a long sleep.
@Suite("Keepalive between two loops", .timeLimit(.minutes(1)))
struct KeepaliveTests {
  @Test("A silent call lives as long as its server answers the pings")
  func silentCall() async throws {
    let server = try await Remote { reactor in
      try ScriptedServer(on: reactor) { peer, stream in
        var pings = 0
        peer.onPing = {
          pings += 1
          guard pings == 3 else { return }
          peer.begin(stream, with: Note("at last"))
          peer.end(stream)
        }
      }
    }
    let address = try await server.run { server, _ in server.address }
    try await onLoop { reactor in
      var configuration = ChannelConfiguration()
      configuration.keepalive = KeepaliveConfiguration(
        exactly: .milliseconds(20), timeout: .seconds(3), permitWithoutCalls: false)
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor, configuration: configuration)
      let reply = try await channel.call(Notes.echo, Note(""))
      #expect(reply.text == "at last")
      channel.close()
    }
    await server.stop { $0.stop() }
  }

  @Test("A quiet client that answers the server's pings keeps its connection")
  func quietClient() async throws {
    let server = try await Remote { reactor in
      var configuration = ServerConfiguration()
      configuration.connections.keepaliveTime = .zero
      configuration.connections.keepaliveTimeout = .seconds(5)
      let server = RPCServer(on: reactor, configuration: configuration)
      server.handle(Notes.echo) { request, _ in request }
      return server
    }
    let address = try await server.run { server, _ in try await server.listen(on: "127.0.0.1:0") }
    try await onLoop { reactor in
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      _ = try await channel.call(Notes.echo, Note(""))
      try await server.run { server, reactor in
        let connection = try #require(server.connections.values.first)
        for _ in 0..<3 {
          connection.upkeep()
          try await reactor.wait {
            connection.upkeep()
            return connection.isClosed || connection.keepaliveReport(now: reactor.now) == .waiting
          }
          #expect(!connection.isClosed)
        }
      }
      channel.close()
    }
    await server.stop { await $0.drain(within: .seconds(1)) }
  }
}
