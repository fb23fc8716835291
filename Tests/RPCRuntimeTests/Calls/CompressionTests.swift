import EventLoop
import Testing

@testable import RPCRuntime

@Suite("Compressed messages", .timeLimit(.minutes(1)))
struct CompressionTests {
  private static let large = [UInt8](repeating: 3, count: 50_000)

  @Test("A call says how its request is compressed, the handler how its answer is")
  func unary() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        context.responseEncoding = request.text == "compress" ? .gzip : .identity
        return Note(context.isRequestCompressed ? "was compressed" : "was plain", data: request.data)
      }
    } _: { channel, _ in
      for (encoding, text) in [(nil, "was plain"), (MessageEncoding.identity, "was plain"), (.gzip, "was compressed")] {
        for wanted in ["compress", "plain"] {
          let reply = try await channel.unary(
            Notes.echo, Note(wanted, data: Self.large), options: CallOptions(requestEncoding: encoding))
          #expect(reply.message == Note(text, data: Self.large))
          #expect(reply.isCompressed == (wanted == "compress"))
        }
      }
    }
  }

  @Test("Server and channel have habits, and one message of a stream may be spared")
  func streams() async throws {
    var (server, client) = (ServerConfiguration(), ChannelConfiguration())
    server.responseEncoding = .gzip
    client.requestEncoding = .gzip
    try await withPair(server: server, channel: client) {
      $0.handle(Notes.chat) { reader, writer, _ in
        for try await note in reader {
          try await writer.write(Note(reader.isCompressed ? "1" : "0", data: note.data), compress: note.text == "1")
        }
      }
    } _: { channel, _ in
      let chat = try channel.call(Notes.chat)
      for (sent, answered) in [(true, true), (false, true), (true, false), (false, false)] {
        try await chat.write(Note(answered ? "1" : "0", data: Self.large), compress: sent)
        let answer = try await chat.responses.next()
        #expect(answer == Note(sent ? "1" : "0", data: Self.large))
        #expect(chat.responses.isCompressed == answered)
      }
      chat.finishWriting()
      let end = try await chat.responses.next()
      #expect(end == nil)
    }
  }

  @Test("A message larger than the limit only when decompressed is RESOURCE_EXHAUSTED on both sides")
  func bombs() async throws {
    var (server, client) = (ServerConfiguration(), ChannelConfiguration())
    server.maxRequestBytes = 10_000
    server.responseEncoding = .gzip
    client.maxResponseBytes = 10_000
    client.requestEncoding = .gzip
    try await withPair(server: server, channel: client) {
      $0.handle(Notes.echo) { request, _ in Note("", data: [UInt8](repeating: 0, count: Int(request.number))) }
      $0.handle(Notes.join) { reader, _ in
        for try await _ in reader {}
        return Note("")
      }
    } _: { channel, _ in
      let request = await failure {
        _ = try await channel.call(Notes.echo, Note("", data: [UInt8](repeating: 0, count: 1_000_000)))
      }
      #expect(request?.code == .resourceExhausted)
      let response = await failure { _ = try await channel.call(Notes.echo, Note("", number: 1_000_000)) }
      #expect(response?.code == .resourceExhausted)
      let join = try channel.call(Notes.join)
      try await join.write(Note("", data: [UInt8](repeating: 0, count: 1_000_000)))
      let stream = await failure { _ = try await join.finish() }
      #expect(stream?.code == .resourceExhausted)
    }
  }

  /// The program ended: one was added to it.
  @Test("The largest number is no limit on messages")
  func noLimit() async throws {
    var (server, client) = (ServerConfiguration(), ChannelConfiguration())
    (server.maxRequestBytes, client.maxResponseBytes) = (.max, .max)
    (server.responseEncoding, client.requestEncoding) = (.gzip, .gzip)
    try await withPair(server: server, channel: client) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let reply = try await channel.unary(Notes.echo, Note("", data: Self.large))
      #expect(reply.isCompressed && reply.message.data == Self.large)
    }
  }

  @Test("While a large message is compressed and decompressed the loop does other work, one such message at a time")
  func slices() async throws {
    var (server, client) = (ServerConfiguration(), ChannelConfiguration())
    server.responseEncoding = .gzip
    client.requestEncoding = .gzip
    let megabytes = [UInt8](repeating: 3, count: 4_000_000)
    try await withPair(server: server, channel: client) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      var turns = 0
      var isDone = false
      let other = channel.reactor.spawn {
        while !isDone {
          turns += 1
          await channel.reactor.yield()
        }
      }
      let calls = (0..<3).map { _ in
        channel.reactor.spawn {
          let reply = try await channel.unary(Notes.echo, Note("", data: megabytes))
          return reply.isCompressed ? reply.message : Note("not compressed")
        }
      }
      for call in calls {
        let message = try await call.value
        #expect(message == Note("", data: megabytes))
      }
      isDone = true
      try await other.value
      let slices = megabytes.count / GzipWriter.inputSlice + megabytes.count / GzipReader.outputSlice
      #expect(turns > 3 * slices)
    }
  }

  /// The rest of the message was looked for where it was no more, which ended the process.
  @Test("A message that is decompressed by a task that outlives its handler is given up with the call")
  func outlivedDecompression() async throws {
    var client = ChannelConfiguration()
    client.requestEncoding = .gzip
    let (begun, ended) = (Tally(), Tally())
    try await withPair(channel: client) {
      $0.handle(Notes.chat) { reader, _, context in
        while reader.call.inbox.readyCount == 0 { await context.reactor.yield() }
        context.reactor.spawn {
          defer { ended.add(1) }
          begun.add(1)
          await #expect(throws: RPCError.self) { try await reader.next() }
        }
        while begun.value == 0 { await context.reactor.yield() }
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.chat)
      try await call.write(Note("", data: [UInt8](repeating: 3, count: 4_000_000)))
      _ = await failure { for try await _ in call.responses {} }
      try await channel.reactor.wait(until: { ended.value == 1 })
    }
  }
}
