import EventLoop
import HTTP2Session
import TLSSession
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("Limits, identities, interceptors, health", .timeLimit(.minutes(1)))
struct LimitTests {
  @Test("The largest request and response are allowed; one byte more is RESOURCE_EXHAUSTED")
  func messageSizes() async throws {
    var configuration = ServerConfiguration()
    configuration.maxRequestBytes = 1000
    var channelConfiguration = ChannelConfiguration()
    channelConfiguration.maxResponseBytes = 2000
    try await withPair(server: configuration, channel: channelConfiguration) {
      $0.handle(Notes.echo) { request, _ in Note("", data: [UInt8](repeating: 1, count: Int(request.number))) }
    } _: { channel, _ in
      // Field 3 with a two-byte length: three bytes beside the data; field 2 with 1997: three bytes.
      let largest = Note("", number: 1997, data: [UInt8](repeating: 1, count: 994))
      let reply = try await channel.call(Notes.echo, largest)
      #expect(reply.data.count == 1997)
      let request = await failure {
        _ = try await channel.call(Notes.echo, Note("", number: 1997, data: [UInt8](repeating: 1, count: 995)))
      }
      #expect(request?.code == .resourceExhausted)
      let response = await failure { _ = try await channel.call(Notes.echo, Note("", number: 1998)) }
      #expect(response?.code == .resourceExhausted)
    }
  }

  @Test("Metadata above its limit is RESOURCE_EXHAUSTED, here and at the server")
  func metadataSize() async throws {
    var configuration = ServerConfiguration()
    configuration.maxMetadataBytes = 1000
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      func call(_ size: Int) async -> RPCError? {
        await failure {
          var metadata = Metadata()
          try metadata.append("x", String(repeating: "a", count: size - 33))
          _ = try await channel.call(Notes.echo, Note(""), options: CallOptions(metadata: metadata))
        }
      }
      #expect(await call(1000) == nil)
      #expect(await call(1001)?.code == .resourceExhausted)
      #expect(await call(16 * 1024 + 1)?.code == .resourceExhausted)
    }
  }

  @Test(
    "Response metadata above the client's limit make an OK RESOURCE_EXHAUSTED; a failure keeps its code",
    arguments: ["headers", "trailers", "trailers only"])
  func responseMetadata(place: String) async throws {
    try await onLoop { reactor in
      var (value, status) = ("", StatusCode.ok)
      // A server that pays no heed to what the client announces.
      let server = try ScriptedServer(on: reactor) { peer, stream in
        let large: [(StaticString, String)] = [("x", value)]
        guard place != "trailers only" else { return peer.fail(stream, status, large) }
        peer.begin(stream, with: Note(""), place == "headers" ? large : [])
        peer.end(stream, status, place == "trailers" ? large : [])
      }
      var configuration = ChannelConfiguration()
      configuration.maxMetadataBytes = 1000
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration)
      func outcome(_ size: Int) async -> RPCError? {
        value = String(repeating: "a", count: size - 33)
        return await failure { for try await _ in try channel.call(Notes.count, Note("")) {} }
      }
      #expect(await outcome(1000) == nil)
      #expect(await outcome(1001)?.code == .resourceExhausted)
      // More than the HTTP/2 session takes.
      #expect(await outcome(6000)?.code == .resourceExhausted)
      if place != "headers" {
        status = .notFound
        let error = await outcome(1001)
        #expect(error?.code == .notFound && error?.trailers.isEmpty == true)
      }
      channel.close()
      server.stop()
    }
  }

  /// The library dropped the trailers without a word, and neither side's call ever ended.
  @Test("A status larger than the client takes keeps its code and what there is room for", arguments: [false, true])
  func largeStatus(hasAnswered: Bool) async throws {
    try await withPair {
      $0.handle(Notes.count) { request, writer, context in
        if hasAnswered { try await writer.write(request) }
        if request.number > 0 {
          try context.trailers.append("x-kept", String(repeating: "m", count: Int(request.number)))
        }
        if request.text == "fine" { return }
        throw RPCError(
          .outOfRange, String(repeating: "é%", count: 30_000),
          details: [ErrorDetail(ErrorInfo(reason: String(repeating: "d", count: 30_000), domain: "d"))])
      }
    } _: { channel, server in
      func outcome(_ request: Note) async -> RPCError? {
        await failure { for try await _ in try channel.call(Notes.count, request) {} }
      }
      let cut = await outcome(Note("", number: 1000))
      #expect(cut?.code == .outOfRange && cut?.details.isEmpty == true)
      #expect(cut?.message.hasPrefix("é%é%") == true && cut?.message.hasSuffix("...") == true)
      #expect((cut?.message.utf8.count ?? 0) > 5000)
      #expect(cut?.trailers.text("x-kept")?.utf8.count == 1000)
      // Metadata above the limit go without the rest.
      let bare = await outcome(Note("", number: 100_000))
      #expect(bare?.code == .outOfRange && bare?.message.hasPrefix("é%é%") == true)
      #expect(bare?.trailers.isEmpty == true)
      // An answer that would be OK but for its metadata does not lose them in silence.
      let fine = await outcome(Note("fine", number: 100_000))
      #expect(fine?.code == .resourceExhausted)
      #expect(await outcome(Note("fine", number: 10_000)) == nil)
      try await channel.reactor.wait { server.connections.values.allSatisfy { $0.session.openStreamCount == 0 } }
    }
  }

  @Test("A server's metadata may have as many fields as their size allows")
  func manyFields() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        for number in 0..<150 {
          try context.initialMetadata.append("h", "\(number)")
          try context.trailers.append("t", "\(number)")
        }
        return request
      }
    } _: { channel, _ in
      let reply = try await channel.unary(Notes.echo, Note(""))
      #expect(reply.initialMetadata.values("h").count == 150 && reply.trailers.values("t").count == 150)
    }
  }

  @Test("Headers that are too large to be sent end the call")
  func largeHeaders() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        try context.initialMetadata.append("x", String(repeating: "a", count: 100_000))
        return request
      }
    } _: { channel, server in
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .internal)
      try await channel.reactor.wait { server.connections.values.allSatisfy { $0.session.openStreamCount == 0 } }
    }
  }

  @Test("Over mutual TLS a handler sees who calls, and only those on the list get in")
  func peers() async throws {
    try await onLoop { reactor in
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      func identity(_ name: String) throws -> TLSIdentity {
        try authority.issue(.init(commonName: name, uris: ["spiffe://emailmcp/\(name)"], days: 1)).identity()
      }
      let roots = PEMSource.bytes(authority.certificate.pem)
      let tls = try TLSServerContext(
        TLSServerSettings(identity: try identity("mailer"), clientRoots: roots, protocols: ["h2"]))
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo, options: MethodOptions(allowedPeers: ["spiffe://emailmcp/edge"])) { _, context in
        Note(context.peer?.spiffeID ?? "nobody")
      }
      let address = try await server.listen(on: "127.0.0.1:0", tls: tls)
      func call(as name: String, expecting peer: String) async throws -> String {
        let context = try TLSClientContext(
          TLSClientSettings(roots: .pem(roots), identity: try identity(name), protocols: ["h2"]))
        let channel = RPCChannel(
          to: try ChannelTarget("ipv4:\(address)"), security: .tls(context, peer: .uri("spiffe://emailmcp/\(peer)")),
          on: reactor)
        defer { channel.close() }
        return try await channel.call(Notes.echo, Note("")).text
      }
      let name = try await call(as: "edge", expecting: "mailer")
      #expect(name == "spiffe://emailmcp/edge")
      let stranger = await failure { _ = try await call(as: "report", expecting: "mailer") }
      #expect(stranger?.code == .permissionDenied)
      #expect(stranger?.message.contains("spiffe://emailmcp/report") == true)
      let impostor = await failure { _ = try await call(as: "edge", expecting: "oauth") }
      #expect(impostor?.code == .unavailable)
      await server.drain(within: .seconds(1))
    }
  }

  @Test("Over TLS without client certificates nobody gets in where there is a list")
  func nobody() async throws {
    try await onLoop { reactor in
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      let identity = try authority.issue(.init(commonName: "mailer", uris: ["spiffe://emailmcp/mailer"], days: 1))
        .identity()
      let server = RPCServer(on: reactor)
      let options = MethodOptions(allowedPeers: ["spiffe://emailmcp/edge"])
      server.handle(Notes.echo, options: options) { request, _ in request }
      server.handle(Notes.missing) { request, _ in request }
      let address = try await server.listen(
        on: "127.0.0.1:0", tls: try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2"])))
      let context = try TLSClientContext(
        TLSClientSettings(roots: .pem(.bytes(authority.certificate.pem)), protocols: ["h2"]))
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(address)"), security: .tls(context, peer: .uri("spiffe://emailmcp/mailer")),
        on: reactor)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unauthenticated)
      #expect(await failure { _ = try await channel.call(Notes.missing, Note("")) } == nil)
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  private struct Guard: ServerInterceptor {
    let tag: String
    func intercept(_ context: ServerContext, _ next: () async throws -> Void) async throws {
      guard context.metadata.text("x-key") == "open" else { throw RPCError(.unauthenticated, "no key") }
      context.attach("\(context.attached(String.self) ?? "")\(tag)")
      try await next()
      try context.trailers.append("x-order", tag)
    }
  }

  private final class KeyAdder: ClientInterceptor {
    var seen: [StatusCode?] = []
    var key = "open"
    func prepare(_ method: MethodDescriptor, _ options: inout CallOptions) throws {
      try options.metadata.append("x-key", key)
    }
    func ended(_ method: MethodDescriptor, _ options: CallOptions, _ error: RPCError?, _ duration: Duration) {
      seen.append(error?.code)
    }
  }

  @Test("Interceptors stand around handlers and calls, the first outermost")
  func interceptors() async throws {
    try await withPair {
      $0.use(Guard(tag: "a"))
      $0.use(Guard(tag: "b"))
      $0.handle(Notes.echo) { _, context in Note(context.attached(String.self) ?? "") }
    } _: { channel, _ in
      let adder = KeyAdder()
      channel.use(adder)
      let reply = try await channel.unary(Notes.echo, Note(""))
      #expect(reply.message.text == "ab")
      #expect(reply.trailers.values("x-order") == ["b", "a"])
      adder.key = "shut"
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unauthenticated)
      #expect(adder.seen == [nil, .unauthenticated])
    }
  }

  @Test("Health is checked, listed and watched; a drain ends the watch")
  func health() async throws {
    let registry = HealthRegistry(services: ["test.Notes"])
    try await withPair {
      $0.serveHealth(of: registry)
    } _: { channel, server in
      let before = try await channel.call(Health.check, HealthCheckRequest(service: "test.Notes"))
      #expect(before.status == .notServing)
      let unknown = await failure { _ = try await channel.call(Health.check, HealthCheckRequest(service: "nobody")) }
      #expect(unknown?.code == .notFound)
      let watch = try channel.call(Health.watch, HealthCheckRequest(service: "test.Notes"))
      let first = try await watch.responses.next()
      #expect(first?.status == .notServing)
      registry.setAll(.serving)
      let second = try await watch.responses.next()
      #expect(second?.status == .serving)
      let list = try await channel.call(Health.list, HealthListRequest())
      #expect(list.statuses.mapValues(\.status) == ["": .serving, "test.Notes": .serving])
      await server.drain(within: .seconds(20))
      let end = await failure { _ = try await watch.responses.next() }
      #expect(end?.code == .unavailable)
    }
  }

  @Test("A server that another one's port is given says so, and takes no share of its connections")
  func portInUse() async throws {
    let group = try EventLoopGroup(count: 2)
    let other = try Socket.listening(on: SocketAddress(numericHost: "127.0.0.1", port: 0))
    defer { other.close() }
    let address = try #require(other.localAddress())
    let error = await #expect(throws: SystemError.self) {
      try await RPCServer.run(on: group, listen: "\(address)") { server in
        server.handle(Notes.echo) { request, _ in request }
      } until: {
      }
    }
    #expect(error.map { "\($0)" }?.contains("Address already in use") == true)
    await group.shutdown()
  }

  @Test("A server on several loops listens on one port and stops as one")
  func manyLoops() async throws {
    let group = try EventLoopGroup(count: 3)
    let (built, served) = (Tally(), Tally())
    try await RPCServer.run(on: group, listen: "127.0.0.1:0", drainLimit: .seconds(1)) { address in
      served.add(Int(address.port))
    } build: { server in
      built.add(1)
      server.handle(Notes.echo) { request, _ in request }
    } until: {
      try? await onLoop { reactor in
        for _ in 0..<20 {
          let channel = RPCChannel(to: try ChannelTarget("ipv4:127.0.0.1:\(served.value)"), on: reactor)
          let reply = try await channel.call(Notes.echo, Note("x"))
          #expect(reply.text == "x")
          channel.close()
        }
      }
    }
    #expect(built.value == 3)
    #expect(served.value > 0)
    await group.shutdown()
  }
}
