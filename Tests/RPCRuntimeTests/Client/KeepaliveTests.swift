import EventLoop
import Foundation
import Glibc
import TestSupport
import Testing
import Transport

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

  /// gRPC A18. Else a client with a call under way would wait for a host that is gone for a quarter of an hour.
  @Test("The kernel gives up what is not acknowledged when keepalive would", arguments: [true, false])
  func userTimeout(clientHasKeepalive: Bool) async throws {
    var server = ServerConfiguration()
    server.connections.keepaliveTimeout = .seconds(7)
    var client = ChannelConfiguration()
    if clientHasKeepalive { client.keepalive = KeepaliveConfiguration(time: .seconds(30), timeout: .seconds(8)) }
    try await withPair(server: server, channel: client) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      _ = try await channel.call(Notes.echo, Note(""))
      let peer = try #require(channel.connections.first?.transport)
      let ends = (try #require(peer.local).port, peer.peer.port)
      #expect(Self.userTimeout(from: ends.0, to: ends.1) == (clientHasKeepalive ? 8000 : 0))
      #expect(Self.userTimeout(from: ends.1, to: ends.0) == 7000)
    }
  }

  /// Of this process's socket with these ports, in milliseconds.
  private static func userTimeout(from local: UInt16, to peer: UInt16) -> Int32? {
    func port(_ name: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) -> UInt16? {
      var address = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let answer = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name($0, &length) }
      }
      return answer == 0 ? UInt16(bigEndian: address.sin_port) : nil
    }
    for descriptor in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.compactMap(Int32.init)
      ?? []
    where port({ getsockname(descriptor, $0, $1) }) == local && port({ getpeername(descriptor, $0, $1) }) == peer {
      var (value, length) = (Int32(-1), socklen_t(MemoryLayout<Int32>.size))
      getsockopt(descriptor, Int32(IPPROTO_TCP), 18, &value, &length)  // TCP_USER_TIMEOUT
      return value
    }
    return nil
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
