import EventLoop
import HTTP2Session
import Transport
import Logging
import TLSSession
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("Peers that exceed limits are named", .timeLimit(.minutes(1)))
struct HostilePeerTests {
  /// So many pings are no peer's need.
  private static let flood = 2000

  @Test("The server's log names a client by address and proven name, once a limit and connection")
  func client() async throws {
    try await onLoop { reactor in
      let notes = LogNotes()
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      let identity = try authority.issue(.init(commonName: "edge", uris: ["spiffe://emailmcp/edge"], days: 1))
        .identity()
      let roots = PEMSource.bytes(authority.certificate.pem)
      var configuration = ServerConfiguration()
      configuration.connections.minPingInterval = .zero
      let server = RPCServer(on: reactor, configuration: configuration, logger: notes.logger)
      server.handle(Notes.echo) { request, _ in request }
      let address = try await server.listen(
        on: "127.0.0.1:0",
        tls: try TLSServerContext(TLSServerSettings(identity: identity, clientRoots: roots, protocols: ["h2"])))
      let context = try TLSClientContext(
        TLSClientSettings(roots: .pem(roots), identity: identity, protocols: ["h2"]))
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(address)"), security: .tls(context, peer: .uri("spiffe://emailmcp/edge")),
        on: reactor)
      _ = try await channel.call(Notes.echo, Note(""))
      let connection = try #require(channel.connections.first)
      for number in 0..<Self.flood { connection.session.ping(UInt64(number)) }
      connection.setNeedsFlush()
      try await reactor.wait(until: { connection.isClosed })
      let lines = notes.lines.filter { $0.message == "a peer exceeded a limit" }
      #expect(lines.count == 1)
      #expect(lines.first?.metadata["limit"] == "pings")
      #expect(lines.first?.metadata["peer"] == "spiffe://emailmcp/edge")
      let peer = "\(lines.first?.metadata["peer_address"] ?? "")"
      #expect(peer.hasPrefix("127.0.0.1:"))
      channel.close()
      await server.drain(within: .seconds(2))
    }
  }

  /// Slower than the bound on resets, which therefore sees nothing.
  @Test("Handlers that heed no cancellation are no more than twice the streams, however often those are reset")
  func runningHandlers() async throws {
    var configuration = ServerConfiguration()
    configuration.maxConcurrentStreams = 4
    let (begun, released) = (Tally(), Tally())
    @Sendable func met() -> Double {
      RecordedMetrics.shared.sum("rpc_http2_limits_total", ("limit", "running_handlers"))
    }
    let before = met()
    try await withScriptedClient(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        begun.add(1)
        while released.value == 0 { await context.reactor.yield() }
        return request
      }
    } _: { client, server, reactor in
      for number in 1...8 {
        let stream = try client.call(Notes.echo.descriptor, Note(""))
        try await reactor.wait { begun.value == number }
        client.reset(stream)
        try await reactor.wait { server.connections.values.allSatisfy { $0.session.openStreamCount == 0 } }
      }
      #expect((server.runningHandlers, met() - before) == (8, 0))
      let ninth = try client.call(Notes.echo.descriptor, Note(""))
      try await reactor.wait { client.ends[ninth.id] != nil }
      #expect(client.ends[ninth.id] == .refusedStream)
      #expect((begun.value, server.runningHandlers, met() - before) == (8, 8, 1))
      released.add(1)
      try await reactor.wait { server.runningHandlers == 0 }
      let after = try client.call(Notes.echo.descriptor, Note(""))
      try await reactor.wait { client.ends[after.id] != nil }
      #expect(client.statuses[after.id] == "0")
    }
  }

  /// As in "MadeYouReset": the client has the server reset its streams, and keeps within the bound on resets of its own.
  @Test("A stream that the client's faults make us reset cancels its handler")
  func madeYouReset() async throws {
    let (begun, cancelled) = (Tally(), Tally())
    try await withScriptedClient {
      $0.handle(Notes.echo) { request, context in
        begun.add(1)
        do { try await context.reactor.sleep(for: .seconds(600)) } catch { cancelled.add(1) }
        return request
      }
    } _: { client, server, reactor in
      for number in 1...10 {
        let stream = try client.call(Notes.echo.descriptor, Note(""))
        try await reactor.wait { begun.value == number }
        // WINDOW_UPDATE above 2³¹ - 1.
        client.transport.write(
          [0, 0, 4, 8, 0] + withUnsafeBytes(of: stream.id.bigEndian) { Array($0) } + [0x7f, 0xff, 0xff, 0xff])
        try await reactor.wait { client.ends[stream.id] != nil }
        #expect(client.ends[stream.id] == .flowControlError)
      }
      try await reactor.wait { server.runningHandlers == 0 }
      #expect(cancelled.value == 10)
    }
  }

  @Test("A client that vanished without a word is found by the server's own pings")
  func vanished() async throws {
    try await onLoop { reactor in
      var configuration = ServerConfiguration()
      configuration.connections.keepaliveTime = .seconds(1)
      configuration.connections.keepaliveTimeout = .seconds(1)
      let server = RPCServer(on: reactor, configuration: configuration)
      server.handle(Notes.echo) { request, _ in request }
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      _ = try await channel.call(Notes.echo, Note(""))
      #expect(server.connections.count == 1)
      // Whoever does not read does not answer.
      channel.connections.first?.transport.pauseReading()
      try await reactor.wait(until: { server.connections.isEmpty })
      channel.close()
      await server.drain(within: .seconds(2))
    }
  }

  @Test("A client that does not read is named also when the kernel is the first to give it up")
  func shutTCPWindow() async throws {
    try await onLoop { reactor in
      let notes = LogNotes()
      var configuration = ServerConfiguration()
      configuration.connections.keepaliveTimeout = .seconds(1)
      let server = RPCServer(on: reactor, configuration: configuration, logger: notes.logger)
      server.handle(Notes.count) { _, writer, _ in
        while true { try await writer.write(Note("", data: [UInt8](repeating: 1, count: 64 << 10))) }
      }
      var client = ChannelConfiguration()
      client.streamWindowBytes = 1 << 30
      client.connectionWindowBytes = 1 << 30
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(try await server.listen(on: "127.0.0.1:0"))"), on: reactor, configuration: client)
      let call = try channel.call(Notes.count, Note(""))
      _ = try await call.responses.next()
      channel.connections.first?.transport.pauseReading()
      try await reactor.wait(until: { server.connections.isEmpty })
      let lines = notes.lines.filter { $0.message == "a peer exceeded a limit" }
      #expect(lines.map { $0.metadata["limit"] } == ["write_stall"])
      call.cancel()
      channel.close()
      await server.drain(within: .seconds(2))
    }
  }

  @Test("A channel's log names a server that floods it, and the channel goes on with another connection")
  func server() async throws {
    try await onLoop { reactor in
      let notes = LogNotes()
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note("answer"))
        peer.end(stream)
        guard peer.requests == 2 else { return }
        for number in 0..<Self.flood { peer.session.ping(UInt64(number)) }
      }
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, logger: notes.logger)
      let first = try await channel.call(Notes.echo, Note(""))
      #expect(first.text == "answer")
      _ = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      try await reactor.wait(until: { notes.lines.contains { $0.message == "a server exceeded a limit" } })
      let line = notes.lines.first { $0.message == "a server exceeded a limit" }
      #expect(line?.metadata["limit"] == "pings")
      #expect(line?.metadata["address"] == "\(server.address)")
      let after = try await channel.call(Notes.echo, Note(""), options: CallOptions(waitForReady: true))
      #expect(after.text == "answer")
      channel.close()
      server.stop()
    }
  }
}
