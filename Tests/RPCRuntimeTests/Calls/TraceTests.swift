import EventLoop
import Testing

@testable import RPCRuntime

@Suite("Traces of calls", .timeLimit(.minutes(1)))
struct TraceTests {
  private static let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  /// A server that passes `echo` on to itself as `count`, and tells what it was sent.
  private func withRelay(
    _ tracer: Tracer?, atClient: Bool = true, _ body: @Sendable (RPCChannel, Tally) async throws -> Void
  ) async throws {
    var (server, channel) = (ServerConfiguration(), ChannelConfiguration())
    server.tracer = tracer
    channel.tracer = atClient ? tracer : nil
    channel.service.configure(
      Notes.count.descriptor, MethodConfiguration(repetition: .retry(RetryPolicy(initialBackoff: .milliseconds(1)))))
    let attempts = Tally()
    let inner = Inner()
    try await withPair(server: server, channel: channel) {
      $0.handle(Notes.echo) { _, context in
        var sent: [String] = []
        for try await note in try inner.channel!.call(Notes.count, Note("")) { sent.append(note.text) }
        return Note(([context.metadata.text("traceparent") ?? ""] + sent).joined(separator: " "))
      }
      $0.handle(Notes.count) { _, writer, context in
        attempts.add(1)
        if attempts.value == 1 { throw RPCError(.unavailable, "once") }
        try await writer.write(Note(context.metadata.text("traceparent") ?? ""))
        try await writer.write(Note(context.metadata.text("tracestate") ?? ""))
      }
    } _: { channel, _ in
      inner.channel = channel
      try await body(channel, attempts)
      inner.channel = nil
    }
  }

  // Of one loop.
  private final class Inner: @unchecked Sendable { var channel: RPCChannel? }

  @Test("Each call on a server and each attempt is a span; together they are one tree under the caller's")
  func tree() async throws {
    let tracer = Tracer()
    try await withRelay(tracer) { channel, _ in
      let reply = try await channel.call(
        Notes.echo, Note(""), options: CallOptions(metadata: ["traceparent": .text(Self.parent), "tracestate": "a=b"]))
      try await channel.reactor.wait(until: { tracer.endedCount == 6 })
      let spans = tracer.take(atMost: 10)
      #expect(Set(spans.map(\.context.traceID)).count == 1)
      func find(_ name: String, _ kind: Span.Kind) -> [Span.Record] {
        spans.filter { $0.name == name && $0.kind == kind }
      }
      let outer = try #require(find("test.Notes/Echo", .client).first)
      let served = try #require(find("test.Notes/Echo", .server).first)
      let attempts = find("test.Notes/Count", .client)
      let counted = find("test.Notes/Count", .server)
      #expect(outer.parentID == 0xb7ad_6b71_6920_3331)
      #expect(served.parentID == outer.context.spanID)
      #expect(attempts.map(\.parentID) == [served.context.spanID, served.context.spanID])
      #expect(Set(counted.map(\.parentID)) == Set(attempts.map(\.context.spanID)))
      #expect(attempts.map(\.isError).sorted { $0 && !$1 } == [true, false])
      #expect(outer.attributes["rpc.grpc.status_code"] == .number(0))
      #expect(outer.attributes["rpc.service"] == .text("test.Notes"))
      // What travelled is the sender's own span, and the state as it came.
      let words = reply.text.split(separator: " ").map(String.init)
      #expect(words.first == outer.context.traceparent)
      #expect(attempts.map(\.context.traceparent).contains(words[1]))
      #expect(words.last == "a=b")
    }
  }

  @Test("A trace begins where none is, and one that is not kept travels so and leaves nothing")
  func sampled() async throws {
    let tracer = Tracer()
    try await withRelay(tracer) { channel, _ in
      let unkept = String(Self.parent.dropLast()) + "0"
      let reply = try await channel.call(
        Notes.echo, Note(""), options: CallOptions(metadata: ["traceparent": .text(unkept)]))
      for text in reply.text.split(separator: " ") {
        let context = TraceContext(traceparent: String(text))
        #expect(context?.traceID == 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)
        #expect(context?.isSampled == false)
      }
      #expect(tracer.endedCount == 0)
      let fresh = try await channel.call(Notes.echo, Note(""))
      #expect(TraceContext(traceparent: String(fresh.text.prefix { $0 != " " }))?.isSampled == true)
    }
  }

  @Test("Without a tracer the caller's traceparent travels on as it is")
  func untraced() async throws {
    try await withRelay(nil) { channel, _ in
      let reply = try await channel.call(
        Notes.echo, Note(""), options: CallOptions(metadata: ["traceparent": .text(Self.parent)]))
      #expect(reply.text == "\(Self.parent) \(Self.parent) ")
      let none = try await channel.call(Notes.echo, Note(""))
      #expect(none.text == "  ")
    }
  }

  /// The new trace went on with the state of another one.
  @Test("A traceparent that is malformed is ignored together with its tracestate", arguments: [true, false])
  func malformed(atClient: Bool) async throws {
    try await withRelay(Tracer(), atClient: atClient) { channel, _ in
      let reply = try await channel.call(
        Notes.echo, Note(""), options: CallOptions(metadata: ["traceparent": "00-none", "tracestate": "a=b"]))
      #expect(!reply.text.contains("a=b"))
    }
  }

  @Test("Health checks are no spans")
  func health() async throws {
    let tracer = Tracer()
    var (server, channel) = (ServerConfiguration(), ChannelConfiguration())
    server.tracer = tracer
    channel.tracer = tracer
    let registry = HealthRegistry()
    try await withPair(server: server, channel: channel) {
      $0.serveHealth(of: registry)
    } _: { channel, _ in
      _ = try await channel.call(Health.check, HealthCheckRequest())
      #expect(tracer.endedCount == 0)
    }
  }
}
