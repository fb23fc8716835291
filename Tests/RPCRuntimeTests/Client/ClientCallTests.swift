import EventLoop
import Glibc
import HTTP2Session
import TLSSession
import TestSupport
import Testing
import Transport

@testable import RPCRuntime

@Suite("What a client does with its calls", .timeLimit(.minutes(1)))
struct ClientCallTests {
  /// The client reset the stream after a minute and said that the server had.
  @Test("An upload waits for a server that does not read, however long")
  func patientUpload() async throws {
    let isOpen = Tally()
    try await withPair {
      $0.handle(Notes.join) { requests, context in
        while isOpen.value == 0 { try await context.reactor.sleep(for: .milliseconds(1)) }
        var count: Int64 = 0
        for try await _ in requests { count += 1 }
        return Note("", number: count)
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      let upload = channel.reactor.spawn {
        for _ in 0..<32 { try await call.write(Note("", data: [UInt8](repeating: 1, count: 32 << 10))) }
        return try await call.finish().number
      }
      try await channel.reactor.wait { call.call.stream != nil && call.call.isWriteBlocked }
      let session = try #require(channel.ready.first?.session)
      session.check(now: (Instant.current() + .seconds(3600)).sessionTime)
      isOpen.add(1)
      let count = try await upload.value
      #expect(count == 32)
    }
  }

  /// The stream stayed open for ever with its data: that the caller had written all was taken for END_STREAM.
  @Test("A status that comes while the upload still waits for its window ends the stream")
  func earlyStatus() async throws {
    try await onLoop { reactor in
      var quiet = HTTP2Configuration()
      quiet.resetsUnreadRequests = false
      let server = try ScriptedServer(on: reactor, quiet) { peer, stream in
        peer.givesWindow = false
        peer.fail(stream, .resourceExhausted)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let error = await failure {
        _ = try await channel.call(Notes.echo, Note("", data: [UInt8](repeating: 1, count: 1 << 20)))
      }
      #expect(error?.code == .resourceExhausted)
      try await reactor.wait { channel.ready.first?.session.openStreamCount == 0 }
      channel.close()
      server.stop()
    }
  }

  /// The code and the trailers were lost with the stream, which the client reset.
  @Test("A status message with spaces around it arrives whole, and from others without them")
  func paddedMessage() async throws {
    try await withPair {
      $0.handle(Notes.echo) { _, context in
        throw RPCError(.notFound, " \(context.metadata.text("x-padded") ?? "nothing") ")
      }
    } _: { channel, _ in
      let error = await failure {
        _ = try await channel.call(Notes.echo, Note(""), options: CallOptions(metadata: ["x-padded": "  a b "]))
      }
      #expect(error?.code == .notFound)
      #expect(error?.message == " a b ")
    }
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.fail(stream, .notFound, [("grpc-message", "not found: "), ("x-kind", " odd ")])
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      // More than the resets that a peer may make us send.
      for _ in 0..<200 {
        let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
        #expect(error?.code == .notFound)
        #expect(error?.message == "not found:")
        #expect(error?.trailers.text("x-kind") == "odd")
      }
      #expect(server.peers.map(\.requests) == [200])
      channel.close()
      server.stop()
    }
  }

  @Test("A response that ends inside a message is INTERNAL, whatever its status says")
  func cutResponse() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.begin(stream, with: Note("whole"))
        peer.session.write(stream, [0, 0, 0, 0, 9, 1])
        peer.end(stream)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .internal)
      let streamed = await failure { for try await _ in try channel.call(Notes.count, Note("")).responses {} }
      #expect(streamed?.code == .internal)
      channel.close()
      server.stop()
    }
  }

  /// It was INTERNAL, and with a section of its own in the end UNKNOWN.
  @Test("A response of headers alone without a status is UNKNOWN")
  func headersAlone() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        var fields = HTTP2FieldList()
        fields.append(":status", "200")
        fields.append("content-type", "application/grpc")
        peer.session.submitResponse(stream, fields, endStream: true)
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unknown)
      channel.close()
      server.stop()
    }
  }

  /// They were "the connection was lost", "the connection was closed" and "the deadline has passed", whatever had happened.
  @Test("A failure of the connection names the server and, where it is known, the cause")
  func namedFailures() async throws {
    try await onLoop { reactor in
      var calls = 0
      let server = try ScriptedServer(on: reactor) { peer, stream in
        calls += 1
        switch calls {
        case 1: peer.transport.close()
        // GOAWAY that covers the stream, with ENHANCE_YOUR_CALM.
        case 2: peer.transport.write([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 11])
        // DATA that belongs to no stream.
        default: peer.transport.write([0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        if calls == 2 { peer.transport.closeAfterFlush() }
      }
      let address = server.address
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      func message(_ options: CallOptions = CallOptions()) async -> String {
        await failure { _ = try await channel.call(Notes.echo, Note(""), options: options) }?.message ?? "OK"
      }
      let lost = "the connection to \(address) was lost"
      #expect(await message() == lost)
      #expect(await message() == "\(lost): the server sent GOAWAY with ENHANCE_YOUR_CALM")
      #expect(await message() == "\(lost): the server did what it may not (protocol_violation)")
      server.stop()
      let away = "ipv4:\(address) cannot be reached: connect to \(address): Connection refused"
      #expect(await message() == away)
      let patient = await message(CallOptions(timeout: .milliseconds(50), waitForReady: true))
      #expect(patient == "the deadline has passed: \(away)")
      channel.close()
    }
  }

  /// All of them were resets by the server.
  @Test(
    "A stream that ends without a status says who ended it, and for what",
    arguments: [
      ("reset", "the server reset the stream with INTERNAL_ERROR"),
      ("malformed", "the server's answer breaks HTTP/2's rules (PROTOCOL_ERROR)"),
      ("large", "the response's metadata are larger than allowed"),
      ("going", "the server's GOAWAY leaves the call out"),
    ])
  func endsOfStreams(kind: String, message: String) async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        switch kind {
        case "reset": peer.session.reset(stream, .internalError)
        case "going": peer.goAwayKnowingNothing()
        // HEADERS with `:status: 20`, which is none.
        case "malformed": peer.transport.write([0, 0, 4, 1, 4, 0, 0, 0, UInt8(stream.id), 0x08, 2, 0x32, 0x30])
        default: peer.begin(stream, with: Note(""), [("x", String(repeating: "x", count: 30_000))])
        }
      }
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(server.address)"), on: reactor)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.message == message)
      channel.close()
      server.stop()
    }
  }

  @Test("A server that speaks something else is named, with what it did")
  func otherProtocols() async throws {
    try await onLoop { reactor in
      let old = try ScriptedServer(on: reactor) { _, _ in }
      old.onConnect = {
        $0.isSilent = true
        $0.transport.write(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))
      }
      let authority = try CertificateAuthority.make(commonName: "RPC tests")
      let issued = try authority.issue(.init(commonName: "server", uris: ["spiffe://emailmcp/mailer"], days: 1))
      let other = RPCServer(on: reactor)
      let otherAddress = try await other.listen(
        on: "127.0.0.1:0", tls: try TLSServerContext(TLSServerSettings(identity: issued.identity())))
      let trusted = TLSClientSettings(roots: .pem(.bytes(authority.certificate.pem)), protocols: ["h2"])
      let security = ChannelSecurity.tls(try TLSClientContext(trusted), peer: .uri("spiffe://emailmcp/mailer"))
      for (address, security, cause) in [
        (old.address, .plaintext, "the server did what it may not (protocol_violation)"),
        (otherAddress, security, "the server speaks TLS, but not HTTP/2"),
      ] {
        let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), security: security, on: reactor)
        let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
        #expect(error?.message == "ipv4:\(address) cannot be reached: \(address): \(cause)")
        channel.close()
      }
      old.stop()
      await other.drain(within: .seconds(1))
    }
  }

  @Test("A reset by the server when the time is up is DEADLINE_EXCEEDED, whoever was first to see it")
  func cancelledByTime() async throws {
    try await withPair {
      $0.handle(Notes.chat) { _, _, context in try await context.reactor.sleep(for: .seconds(50)) }
    } _: { channel, _ in
      let begun = Instant.current()
      // Long enough for the call to leave on a busy machine.
      let call = try channel.call(Notes.chat, options: CallOptions(timeout: .seconds(3)))
      try await channel.reactor.wait { call.call.stream != nil || call.call.outcome != nil }
      // The loop is busy, and its timer late.
      while Instant.current() - begun < .milliseconds(3001) { usleep(10_000) }
      call.call.streamClosed(.cancel)
      #expect(call.call.outcome?.error?.code == .deadlineExceeded)
    }
  }

  /// Their bytes left for a server that did not read any more, and the calls failed.
  @Test("Calls that meet the end of a connection go on with another one")
  func endOfConnection() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, _ in request }
      $0.handle(Notes.count) { request, writer, _ in try await writer.write(request) }
    } _: { channel, _ in
      _ = try await channel.call(Notes.echo, Note(""))
      let connection = try #require(channel.ready.first)
      let unsent = try channel.call(Notes.count, Note("unsent"))
      connection.readClosed()
      let late = try channel.call(Notes.count, Note("late"))
      var texts: [String] = []
      for call in [unsent, late] {
        for try await note in call { texts.append(note.text) }
      }
      #expect(texts == ["unsent", "late"])
    }
  }
}

extension Instant {
  fileprivate var sessionTime: UInt64 { UInt64(nanoseconds) }
}
