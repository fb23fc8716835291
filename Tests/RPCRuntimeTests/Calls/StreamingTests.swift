import EventLoop
import HTTP2Session
import Testing

@testable import RPCRuntime

@Suite("Streaming calls", .timeLimit(.minutes(1)))
struct StreamingTests {
  @Test("A server stream arrives in order and ends")
  func serverStream() async throws {
    try await withPair {
      $0.handle(Notes.count) { request, writer, _ in
        for number in 0..<request.number { try await writer.write(Note("n", number: number)) }
      }
    } _: { channel, _ in
      var seen: [Int64] = []
      for try await note in try channel.call(Notes.count, Note("", number: 1000)) { seen.append(note.number) }
      #expect(seen == Array(0..<1000))
    }
  }

  @Test("Two sides that write and do not read hold a window and a high-water mark each, and go on when somebody reads")
  func slowReaders() async throws {
    let (message, window, mark) = (32 * 1024, 256 * 1024, 64 * 1024)
    let (written, isRead) = (Tally(), Tally())
    try await withPair {
      $0.handle(Notes.chat) { reader, writer, context in
        let writing = context.reactor.spawn {
          for _ in 0..<100 {
            try await writer.write(Note("", data: [UInt8](repeating: 1, count: message)))
            written.add(1)
          }
        }
        while isRead.value == 0 { try await context.reactor.sleep(for: .milliseconds(1)) }
        for try await _ in reader {}
        try await writing.value
      }
    } _: { channel, server in
      let call = try channel.call(Notes.chat)
      let writing = channel.reactor.spawn {
        for _ in 0..<100 { try await call.write(Note("", data: [UInt8](repeating: 1, count: message))) }
        call.finishWriting()
      }
      func served() -> ServerCall? { server.connections.values.first?.calls.first }
      // Each has filled the other's window, and its own queue.
      try await channel.reactor.wait(until: {
        guard let served = served() else { return false }
        return served.isWriteBlocked && call.call.isWriteBlocked && served.inbox.heldBytes >= window - message
          && call.call.inbox.heldBytes >= window - message
      })
      for _ in 0..<50 { try await channel.reactor.sleep(for: .milliseconds(1)) }
      for side in [served(), call.call] as [CallStream?] {
        #expect(side!.inbox.heldBytes <= window + message)
        #expect(side!.stream!.pendingBytes <= mark + 2 * message)
      }
      isRead.add(1)
      var count = 0
      for try await _ in call.responses { count += 1 }
      #expect(count == 100)
      #expect(written.value == 100)
      try await writing.value
    }
  }

  @Test("Streams that nobody reads do not hold up the other calls of their connection", arguments: [true, false])
  func pausedStreams(atServer: Bool) async throws {
    try await withPair {
      $0.handle(Notes.chat) { _, _, context in try await context.reactor.sleep(for: .seconds(60)) }
      $0.handle(Notes.count) { _, writer, _ in
        while true { try await writer.write(Note("", data: [UInt8](repeating: 1, count: 64 * 1024))) }
      }
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, server in
      let (streams, full) = (32, 250 * 1024)
      var (chats, counts): ([BidirectionalCall<Note, Note>], [ServerStreamingCall<Note>]) = ([], [])
      for _ in 0..<streams {
        if atServer {
          let chat = try channel.call(Notes.chat)
          try await chat.write(Note("", data: [UInt8](repeating: 1, count: full)))
          chats.append(chat)
        } else {
          counts.append(try channel.call(Notes.count, Note("")))
        }
      }
      let calls = atServer ? chats.map { $0.call as CallStream } : counts.map { $0.call as CallStream }
      if atServer {
        try await channel.reactor.wait(until: {
          server.connections.values.reduce(0) { $0 + $1.receivedBytes } > streams * full
        })
      } else {
        try await channel.reactor.wait(until: { calls.allSatisfy { $0.inbox.arrivedBytes >= 200 * 1024 } })
      }
      let reply = try await channel.call(Notes.echo, Note("x", data: [UInt8](repeating: 1, count: 100_000)))
      #expect(reply.text == "x")
      for chat in chats { chat.cancel() }
      for count in counts { count.cancel() }
    }
  }

  @Test("What a handler left behind writes to no later call, and reads nothing of it")
  func outlivedHandler() async throws {
    let (begun, goesOn, ended) = (Tally(), Tally(), Tally())
    try await withPair {
      $0.handle(Notes.chat) { reader, writer, context in
        guard let first = try await reader.next(), first.text == "leaves a task behind" else {
          try context.trailers.append("kept-by", "the later call")
          try await writer.write(Note("first"))
          while let note = try await reader.next() { try await writer.write(note) }
          return
        }
        begun.add(1)
        context.reactor.spawn {
          while goesOn.value == 0 { try await context.reactor.sleep(for: .milliseconds(1)) }
          defer { ended.add(1) }
          try context.trailers.append("kept-by", "nobody")
          context.responseEncoding = .gzip
          #expect(context.metadata.isEmpty)
          await #expect(throws: RPCError.self) { try await writer.write(Note("stray")) }
          #expect((try? await reader.next()) == nil)
        }
        if first.number == 1 { throw RPCError(.aborted, "enough") }
      }
    } _: { channel, server in
      // Three ways of ending: by the handler's return, by its error, by the caller's hanging up.
      for number in 0..<3 {
        let call = try channel.call(Notes.chat)
        try await call.write(Note("leaves a task behind", number: Int64(number)))
        try await channel.reactor.wait(until: { begun.value > number })
        if number == 2 { call.cancel() } else { call.finishWriting() }
        _ = await failure { for try await _ in call.responses {} }
      }
      try await channel.reactor.wait(until: { server.connections.values.allSatisfy { $0.calls.isEmpty } })
      let later = try (0..<4).map { _ in try channel.call(Notes.chat) }
      for call in later { try await call.write(Note("stays")) }
      for call in later { #expect(try await call.responses.next()?.text == "first") }
      goesOn.add(1)
      try await channel.reactor.wait(until: { ended.value == 3 })
      for call in later {
        try await call.write(Note("second"))
        #expect(try await call.responses.next()?.text == "second")
        call.finishWriting()
        #expect(try await call.responses.next() == nil)
        #expect(call.trailers.values("kept-by") == [.text("the later call")])
      }
    }
  }

  @Test("Messages that came before an error are delivered before it is thrown")
  func serverStreamError() async throws {
    try await withPair {
      $0.handle(Notes.count) { _, writer, _ in
        for number in 0..<3 { try await writer.write(Note("", number: Int64(number))) }
        throw RPCError(.aborted, "enough")
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.count, Note(""))
      var count = 0
      let error = await failure { for try await _ in call { count += 1 } }
      #expect(count == 3)
      #expect(error?.code == .aborted)
    }
  }

  @Test("A client stream is read to its end and answered once")
  func clientStream() async throws {
    try await withPair {
      $0.handle(Notes.join) { reader, _ in
        var sum: Int64 = 0
        for try await note in reader { sum += note.number }
        return Note("sum", number: sum)
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      for number in 1...100 { try await call.write(Note("", number: Int64(number))) }
      let sum = try await call.finish()
      #expect(sum.number == 5050)
    }
  }

  @Test("A server may answer a client stream before it has ended")
  func earlyAnswer() async throws {
    try await withPair {
      $0.handle(Notes.join) { reader, _ in try await reader.next() ?? Note("none") }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      try await call.write(Note("first"))
      _ = try await call.initialMetadata()
      // The server has ended the call; what is still written is of no interest, the answer is.
      let error = await failure {
        while true { try await call.write(Note("more", data: [UInt8](repeating: 0, count: 50_000))) }
      }
      #expect(error?.code == .cancelled)
      let answer = try await call.finish()
      #expect(answer.text == "first")
    }
  }

  @Test("A handler may send its initial metadata before it has a message")
  func earlyMetadata() async throws {
    let seen = Tally()
    try await withPair {
      $0.handle(Notes.join) { _, context in
        context.initialMetadata = ["x-first": "1"]
        context.sendInitialMetadata()
        context.initialMetadata = ["x-first": "2"]
        while seen.value == 0 { await context.reactor.yield() }
        return Note("done")
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      #expect(try await call.initialMetadata().text("x-first") == "1")
      seen.add(1)
      #expect(try await call.finish().text == "done")
    }
  }

  @Test("Both sides of a bidirectional call talk in turn")
  func pingPong() async throws {
    try await withPair {
      $0.handle(Notes.chat) { reader, writer, _ in
        for try await note in reader { try await writer.write(Note(note.text, number: note.number * 2)) }
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.chat)
      for number in 1...50 {
        try await call.write(Note("", number: Int64(number)))
        let answer = try await call.responses.next()
        #expect(answer?.number == Int64(number * 2))
      }
      call.finishWriting()
      let end = try await call.responses.next()
      #expect(end == nil)
    }
  }

  @Test("A slow reader stops the sending handler: what is sent ahead is bounded by windows and marks")
  func readerHoldsServer() async throws {
    let written = Tally()
    try await withPair {
      $0.handle(Notes.count) { _, writer, _ in
        for number in 0..<2000 {
          try await writer.write(Note("", number: Int64(number), data: [UInt8](repeating: 1, count: 10_000)))
          written.add(1)
        }
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.count, Note(""))
      let first = try await call.responses.next()
      #expect(first?.number == 0)
      // Time for the handler to run as far as it is let.
      for _ in 0..<2000 { await channel.reactor.yield() }
      // One stream window (256 KiB), the high-water mark (64 KiB) and a message on either side.
      #expect(written.value < 60)
      var count = 1
      for try await _ in call { count += 1 }
      #expect(count == 2000)
    }
  }

  @Test("A handler that does not read stops the sending client")
  func handlerHoldsClient() async throws {
    let gate = Tally()
    try await withPair {
      $0.handle(Notes.join) { reader, context in
        while gate.value == 0 { await context.reactor.yield() }
        var count: Int64 = 0
        for try await _ in reader { count += 1 }
        return Note("", number: count)
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      let written = Tally()
      let task = channel.reactor.spawn {
        for _ in 0..<1000 {
          try await call.write(Note("", data: [UInt8](repeating: 1, count: 10_000)))
          written.add(1)
        }
        return try await call.finish().number
      }
      for _ in 0..<3000 { await channel.reactor.yield() }
      #expect(written.value < 60)
      gate.add(1)
      let count = try await task.value
      #expect(count == 1000)
    }
  }

  @Test("Letting go of a stream cancels its handler")
  func letGo() async throws {
    let cancelled = Tally()
    try await withPair {
      $0.handle(Notes.count) { _, writer, context in
        do {
          while true { try await writer.write(Note("")) }
        } catch {
          if context.isCancelled { cancelled.add(1) }
          throw error
        }
      }
    } _: { channel, _ in
      do {
        let call = try channel.call(Notes.count, Note(""))
        _ = try await call.responses.next()
      }
      while cancelled.value == 0 { await channel.reactor.yield() }
    }
  }
}
