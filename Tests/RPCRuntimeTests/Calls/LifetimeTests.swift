import EventLoop
import Glibc
import HTTP2Session
import TLSSession
import TestSupport
import Testing
import Transport

@testable import RPCRuntime

@Suite("Deadlines, cancellation, connections", .timeLimit(.minutes(1)))
struct LifetimeTests {
  @Test("A deadline ends the call on both sides")
  func deadline() async throws {
    let (begun, cancelled) = (Tally(), Tally())
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        begun.add(1)
        #expect(context.timeLeft != nil)  // on a busy machine nothing may be left
        do {
          try await context.reactor.sleep(for: .seconds(30))
        } catch {
          cancelled.add(1)
          throw error
        }
        return request
      }
    } _: { channel, _ in
      // Nor may a handler begin in that time: then once more.
      while begun.value == 0 {
        let error = await failure {
          _ = try await channel.call(Notes.echo, Note(""), options: CallOptions(timeout: .milliseconds(50)))
        }
        #expect(error?.code == .deadlineExceeded)
      }
      try await channel.reactor.wait { cancelled.value == begun.value }
    }
  }

  @Test("Cancelling the task cancels the call and the handler")
  func cancellation() async throws {
    let (started, cancelled) = (Tally(), Tally())
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        started.add(1)
        do {
          try await context.reactor.sleep(for: .seconds(30))
        } catch {
          cancelled.add(1)
          throw error
        }
        return request
      }
    } _: { channel, _ in
      let task = channel.reactor.spawn { try await channel.call(Notes.echo, Note("")) }
      while started.value == 0 { await channel.reactor.yield() }
      task.cancel()
      let error = await failure { _ = try await task.value }
      #expect(error?.code == .cancelled)
      while cancelled.value == 0 { await channel.reactor.yield() }
    }
  }

  @Test("A call made by a handler gets what is left of the time, never more, and the trace")
  func propagation() async throws {
    try await onLoop { reactor in
      let inner = RPCServer(on: reactor)
      inner.handle(Notes.echo) { _, context in
        Note(
          context.metadata.text("traceparent") ?? "",
          number: context.timeLeft?.components.seconds ?? -1, data: Array((context.metadata.text("x-own") ?? "").utf8))
      }
      let innerAddress = try await inner.listen(on: "127.0.0.1:0")
      let toInner = RPCChannel(to: try ChannelTarget("ipv4:\(innerAddress)"), on: reactor)
      let outer = RPCServer(on: reactor)
      outer.handle(Notes.echo) { request, _ in
        try await toInner.call(Notes.echo, request, options: CallOptions(timeout: .seconds(1000)))
      }
      let outerAddress = try await outer.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(outerAddress)"), on: reactor)

      let reply = try await channel.call(
        Notes.echo, Note(""),
        options: CallOptions(timeout: .seconds(500), metadata: ["traceparent": "00-a-b-01", "x-own": "not sent on"]))
      #expect(reply.text == "00-a-b-01")
      #expect((400..<500).contains(reply.number))
      #expect(reply.data.isEmpty)
      let endless = try await channel.call(Notes.echo, Note(""))
      #expect((900..<1000).contains(endless.number))

      channel.close()
      toInner.close()
      await outer.drain(within: .seconds(1))
      await inner.drain(within: .seconds(1))
    }
  }

  @Test("Without a server a call fails with UNAVAILABLE; one that waits goes on when the server comes")
  func serverComesLate() async throws {
    try await onLoop { reactor in
      let placeholder = RPCServer(on: reactor)
      let address = try await placeholder.listen(on: "127.0.0.1:0")
      await placeholder.drain(within: .zero)

      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(20), limit: .milliseconds(50))
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor, configuration: configuration)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unavailable)

      let waiting = reactor.spawn {
        try await channel.call(
          Notes.echo, Note("late"), options: CallOptions(timeout: .seconds(20), waitForReady: true))
      }
      try await reactor.sleep(for: .milliseconds(60))
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo) { request, _ in request }
      try await server.listen(on: "\(address)")
      let reply = try await waiting.value
      #expect(reply.text == "late")
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("A drain lets calls in flight end, and new calls find the next server")
  func drain() async throws {
    try await onLoop { reactor in
      let release = Tally()
      let first = RPCServer(on: reactor)
      let started = Tally()
      first.handle(Notes.echo) { _, context in
        started.add(1)
        while release.value == 0 { await context.reactor.yield() }
        return Note("first")
      }
      let address = try await first.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      let inFlight = reactor.spawn { try await channel.call(Notes.echo, Note("")).text }
      while started.value == 0 { await reactor.yield() }

      let second = RPCServer(on: reactor)
      second.handle(Notes.echo) { _, _ in Note("second") }
      try await second.listen(on: "\(address)")
      let draining = reactor.spawn { await first.drain(within: .seconds(10)) }
      // Some of these go out before the GOAWAY has arrived: they are sent again without anybody noticing.
      let others = (0..<20).map { _ in reactor.spawn { try await channel.call(Notes.echo, Note("")).text } }
      for _ in 0..<50 { await reactor.yield() }
      release.add(1)
      let answer = try await inFlight.value
      #expect(answer == "first")
      for other in others {
        let answer = try await other.value
        #expect(answer == "first" || answer == "second")
      }
      _ = try await draining.value
      let after = try await channel.call(Notes.echo, Note("")).text
      #expect(after == "second")
      channel.close()
      await second.drain(within: .seconds(1))
    }
  }

  /// It took as long as the handshake may.
  @Test("A drain does not wait for a client that has not finished its handshake")
  func drainInHandshake() async throws {
    try await onLoop { reactor in
      var configuration = ServerConfiguration()
      configuration.handshakeTimeout = .seconds(20)
      let server = RPCServer(on: reactor, configuration: configuration)
      let identity = try CertificateAuthority.make(commonName: "RPC tests").issue(.init(commonName: "server", days: 1))
        .identity()
      let address = try await server.listen(
        on: "127.0.0.1:0", tls: try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2"])))
      let stranger = try Connection.connect(
        to: address, on: reactor, delegate: ConnectAttempt(ready: {}, failed: { _ in }))
      try await reactor.wait { !server.connections.isEmpty }
      let began = Instant.current()
      await server.drain(within: .seconds(40))
      #expect(Instant.current() - began < .seconds(15))
      stranger.close()
    }
  }

  /// It was cut off without a word, and its call failed.
  @Test("A client amid its handshake when a drain begins is told by GOAWAY, and its call goes to the next server")
  func handshakeMeetsDrain() async throws {
    try await onLoop { reactor in
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      let issued = try authority.issue(.init(commonName: "server", uris: ["spiffe://emailmcp/mailer"], days: 1))
      let tls = try TLSServerContext(TLSServerSettings(identity: issued.identity(), protocols: ["h2"]))
      func server(_ name: String) -> RPCServer {
        let server = RPCServer(on: reactor)
        server.handle(Notes.echo) { _, _ in Note(name) }
        return server
      }
      let (first, second) = (server("first"), server("second"))
      let address = try await first.listen(on: "127.0.0.1:0", tls: tls)
      let trusted = TLSClientSettings(roots: .pem(.bytes(authority.certificate.pem)), protocols: ["h2"])
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(address)"),
        security: .tls(try TLSClientContext(trusted), peer: .uri("spiffe://emailmcp/mailer")), on: reactor)
      let call = reactor.spawn { try await channel.call(Notes.echo, Note("")).text }
      while first.connections.isEmpty { await reactor.yield() }
      #expect(first.connections.values.allSatisfy { $0.transport.isStarting })
      let draining = reactor.spawn { await first.drain(within: .seconds(10)) }
      try await second.listen(on: "\(address)", tls: tls)
      let answer = try await call.value
      #expect(answer == "second")
      try await draining.value
      channel.close()
      await second.drain(within: .seconds(1))
    }
  }

  @Test("A drain cancels what does not end in time")
  func drainLimit() async throws {
    let cancelled = Tally()
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        do {
          try await context.reactor.sleep(for: .seconds(60))
        } catch {
          cancelled.add(1)
          throw error
        }
        return request
      }
    } _: { channel, server in
      let call = channel.reactor.spawn { try await channel.call(Notes.echo, Note("")) }
      for _ in 0..<100 { await channel.reactor.yield() }
      await server.drain(within: .milliseconds(50))
      let error = await failure { _ = try await call.value }
      #expect(error?.code == .unavailable)
      #expect(cancelled.value == 1)
    }
  }

  @Test("A unix socket carries calls")
  func unixSocket() async throws {
    try await onLoop { reactor in
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo) { request, _ in request }
      let path = "/tmp/emailmcp-rpc-\(UInt64.random(in: 0 ... .max)).sock"
      try await server.listen(on: "unix:\(path)")
      let channel = RPCChannel(to: try ChannelTarget("unix:\(path)"), on: reactor)
      let reply = try await channel.call(Notes.echo, Note("local"))
      #expect(reply.text == "local")
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("A name is resolved, and its first address that answers is taken")
  func dnsTarget() async throws {
    try await onLoop { reactor in
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo) { request, _ in request }
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("dns:///localhost:\(address.port)"), on: reactor)
      let reply = try await channel.call(Notes.echo, Note("named"))
      #expect(reply.text == "named")
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("A connection that is old enough is replaced, and no call fails")
  func connectionAge() async throws {
    var configuration = ServerConfiguration()
    configuration.connections.maxAge = .milliseconds(100)
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { _, context in Note("\(context.peerAddress.map(\.port) ?? 0)") }
    } _: { channel, _ in
      var connections: Set<String> = []
      let limit = Instant.current() + .seconds(20)
      while connections.count < 3, Instant.current() < limit {
        connections.insert(try await channel.call(Notes.echo, Note("")).text)
        try await channel.reactor.sleep(for: .milliseconds(20))
      }
      #expect(connections.count == 3)
    }
  }

  /// Its calls were cancelled, and their ends waited behind what the client did not take.
  @Test("A connection that is too old is closed after the grace, though its client reads nothing")
  func connectionAgeGrace() async throws {
    var configuration = ServerConfiguration()
    configuration.connections.maxAge = .zero
    configuration.connections.maxAgeGrace = .zero
    try await withPair(server: configuration) {
      $0.handle(Notes.count) { _, writer, _ in
        while true { try await writer.write(Note("", data: [UInt8](repeating: 1, count: 64 << 10))) }
      }
    } _: { channel, server in
      let call = try channel.call(Notes.count, Note(""))
      var connection: ServerConnection?
      try await channel.reactor.wait {
        connection = connection ?? server.connections.values.first
        guard let connection else { return false }
        return connection.isClosed
          || connection.session.streams.contains {
            $0.pendingBytes > 0 && connection.session.sendWindow(of: $0) == 0
          }
      }
      for _ in 0..<2 { connection?.upkeep() }
      try await channel.reactor.wait { connection?.isClosed == true }
      let error = await failure { for try await _ in call {} }
      #expect(error?.code == .unavailable)
    }
  }

  /// Our own client does not even send such a call.
  @Test("A call whose time is up when its handler could begin is not begun, nor one that no time was left for")
  func lateStart() async throws {
    let begun = Tally()
    try await withScriptedClient {
      $0.handle(Notes.count) { _, _, _ in begun.add(1) }
    } _: { client, server, reactor in
      for _ in 0..<100 { try client.call(Notes.count.descriptor, Note(""), [("grpc-timeout", "1n")]) }
      try await reactor.wait { client.ends.count == 100 && server.runningHandlers == 0 }
      #expect(client.statuses.values.allSatisfy { $0 == "4" } && client.statuses.count == 100)
      #expect(begun.value == 0)
      try client.call(Notes.count.descriptor, Note(""), [("grpc-timeout", "50S")])
      try await reactor.wait { client.ends.count == 101 }
      #expect(begun.value == 1)
    }
  }

  @Test("A connection that nobody calls on is closed in order after its time, and counted")
  func connectionIdle() async throws {
    var configuration = ServerConfiguration()
    configuration.connections.maxIdle = .zero
    @Sendable func ended() -> Double {
      RecordedMetrics.shared.sum("rpc_server_connections_ended_total", ("reason", "idle"))
    }
    let before = ended()
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, server in
      // The server's own look may come before the call does.
      let options = CallOptions(waitForReady: true)
      _ = try await channel.call(Notes.echo, Note(""), options: options)
      let connection = try #require(server.connections.values.first)
      for _ in 0..<2 { connection.upkeep() }
      #expect(connection.isDraining && ended() > before)
      try await channel.reactor.wait { connection.isClosed && channel.state == .idle }
      #expect(channel.lastFailure == nil)
      _ = try await channel.call(Notes.echo, Note(""), options: options)
    }
  }

  @Test("A call goes over IPv6", .enabled(if: hasIPv6, "this machine has no ::1"))
  func ipv6() async throws {
    try await onLoop { reactor in
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo) { _, context in Note("\(context.peerAddress?.description ?? "")") }
      let address = try await server.listen(on: "[::1]:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv6:[::1]:\(address.port)"), on: reactor)
      let reply = try await channel.call(Notes.echo, Note(""))
      #expect(reply.text.hasPrefix("[::1]:"))
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  private static let hasIPv6: Bool = {
    let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = sockaddr_in6()
    address.sin6_family = sa_family_t(AF_INET6)
    address.sin6_addr = in6addr_loopback
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
      }
    }
  }()
}
