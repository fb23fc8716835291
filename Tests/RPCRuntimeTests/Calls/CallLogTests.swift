import EventLoop
import HTTP2Session
import Logging
import TestSupport
import Testing
import Transport
import WireCodec

@testable import RPCRuntime

@Suite("Calls that failed or were slow are logged", .timeLimit(.minutes(1)))
struct CallLogTests {
  private func lines(
    slowerThan slow: Duration = .seconds(50), _ call: @Sendable (RPCChannel) async throws -> Void
  ) async throws -> [LogNotes.Line] {
    let notes = LogNotes()
    var configuration = ServerConfiguration()
    configuration.maxMetadataBytes = 900
    try await withPair(server: configuration) {
      $0.use(CallLog(notes.logger, slowerThan: slow))
      $0.handle(Notes.echo) { request, _ in
        switch request.text {
        case "bad": throw RPCError(.invalidArgument, "no \(request.text)")
        case "broken": throw RPCError(.internal, "the handler's own words")
        default: return request
        }
      }
      $0.handle(Notes.count) { _, _, _ in }
    } _: { channel, _ in
      try await call(channel)
    }
    return notes.lines
  }

  @Test("A call that went well leaves no line; one that took too long does, a stream never")
  func slow() async throws {
    #expect(try await lines { _ = try await $0.call(Notes.echo, Note("fine")) }.isEmpty)
    let slow = try await lines(slowerThan: .zero) {
      _ = try await $0.call(Notes.echo, Note("fine"))
      for try await _ in try $0.call(Notes.count, Note("")) {}
    }
    #expect(slow.map(\.message) == ["a call was slow"])
    #expect(slow.first?.level == .info)
    #expect(slow.first?.metadata["grpc_method"] == "test.Notes/Echo")
    #expect(slow.first?.metadata["grpc_status"] == "OK")
  }

  @Test("The server's failures are warnings, its callers' are for debugging; neither line has the error's text")
  func failed() async throws {
    let failed = try await lines { channel in
      let options = CallOptions(metadata: ["x-request-id": "r-1"])
      for text in ["broken", "bad"] {
        _ = await failure { _ = try await channel.call(Notes.echo, Note(text), options: options) }
      }
    }
    #expect(failed.map(\.message) == ["a call failed", "a call failed"])
    #expect(failed.map(\.level) == [.warning, .debug])
    #expect(failed.map { $0.metadata["grpc_status"] } == ["INTERNAL", "INVALID_ARGUMENT"])
    #expect(failed.allSatisfy { $0.metadata["request_id"] == "r-1" })
    #expect(failed.allSatisfy { "\($0.metadata["peer"] ?? "")".hasPrefix("127.0.0.1:") })
    #expect(
      failed.allSatisfy {
        Set($0.metadata.keys) == ["grpc_method", "grpc_status", "duration_ms", "peer", "request_id"]
      })
  }

  @Test("A request that cannot be read is its caller's fault, for the log of calls and for that of handlers")
  func malformed() async throws {
    let notes = LogNotes()
    try await onLoop { reactor in
      let server = RPCServer(on: reactor, logger: notes.logger)
      server.use(CallLog(notes.logger))
      server.handle(Notes.echo) { request, _ in request }
      server.handle(Notes.join) { requests, _ in
        while try await requests.next() != nil {}
        return Note("")
      }
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      let garbled = UnaryMethod<Garbled, Note>("test.Notes", "Echo")
      let first = await failure { _ = try await channel.call(garbled, Garbled()) }
      let stream = try channel.call(ClientStreamingMethod<Garbled, Note>("test.Notes", "Join"))
      let second = await failure {
        try? await stream.write(Garbled())
        _ = try await stream.finish()
      }
      #expect(first?.code == .internal && second?.code == .internal)
      channel.close()
      await server.drain(within: .seconds(1))
    }
    #expect(notes.lines.map(\.message) == ["a call failed", "a call failed"])
    #expect(notes.lines.allSatisfy { $0.level == .debug })
  }

  @Test("A call that never comes to its handler leaves a line for debugging, and one alone")
  func refused() async throws {
    let refused = try await lines { channel in
      _ = await failure { _ = try await channel.call(Notes.missing, Note("")) }
      let large = CallOptions(metadata: ["x-request-id": "r-1", "x-large": .text(String(repeating: "a", count: 900))])
      _ = await failure { _ = try await channel.call(Notes.echo, Note(""), options: large) }
    }
    #expect(refused.map(\.message) == ["a call was refused", "a call was refused"])
    #expect(refused.map(\.level) == [.debug, .debug])
    #expect(refused.map { $0.metadata["grpc_status"] } == ["UNIMPLEMENTED", "RESOURCE_EXHAUSTED"])
    #expect(refused.map { $0.metadata["grpc_method"] } == ["other/other", "test.Notes/Echo"])
    #expect(refused.map { $0.metadata["request_id"] } == [nil, "r-1"])
  }

  /// They left none.
  @Test("What is no gRPC, and is answered in HTTP, leaves such a line too")
  func refusedInHTTP() async throws {
    let notes = LogNotes()
    try await withScriptedClient(register: { $0.use(CallLog(notes.logger)) }) { client, _, reactor in
      for (method, type) in [("GET", "application/grpc"), ("POST", "text/html")] {
        var fields = HTTP2FieldList()
        for (name, value) in [
          (":method", method), (":scheme", "http"), (":path", "/x"), (":authority", "test"), ("content-type", type),
        ] as [(StaticString, String)] {
          fields.append(name, value)
        }
        let stream = try #require(client.session.submitRequest(fields, endStream: true, owner: nil))
        client.transport.setNeedsFlush()
        try await reactor.wait { client.ends[stream.id] != nil }
      }
    }
    #expect(notes.lines.map(\.message) == ["a call was refused", "a call was refused"])
    #expect(notes.lines.map { $0.metadata["grpc_status"] } == ["UNKNOWN", "UNKNOWN"])
    #expect(notes.lines.map { $0.metadata["grpc_method"] } == ["other/other", "other/other"])
  }
}

/// Bytes that are no text, where a note's text is to be.
private struct Garbled: WireMessage {
  static let wireName = "test.Garbled"

  func encode(into w: inout WireWriter) { w.bytes(1, [0xff]) }

  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) { try r.skip() }
}
