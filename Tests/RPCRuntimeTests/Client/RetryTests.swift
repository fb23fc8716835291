import EventLoop
import HTTP2Session
import Synchronization
import TestSupport
import Testing
import WireCodec

@testable import RPCRuntime

@Suite("Retries and hedges over real sockets", .timeLimit(.minutes(1)))
struct RetryTests {
  private func configuration(_ repetition: MethodConfiguration.Repetition) -> ChannelConfiguration {
    var configuration = ChannelConfiguration()
    configuration.backoff = Backoff(initial: .milliseconds(5), limit: .milliseconds(20))
    configuration.service.configure(service: "test.Notes", MethodConfiguration(repetition: repetition))
    return configuration
  }

  private let fast = RetryPolicy(maxAttempts: 4, initialBackoff: .milliseconds(1), maxBackoff: .milliseconds(2))

  @Test("A call that fails with UNAVAILABLE is sent again until it succeeds")
  func retries() async throws {
    let attempts = Tally()
    try await withPair(channel: configuration(.retry(fast))) {
      $0.handle(Notes.echo) { request, _ in
        attempts.add(1)
        if attempts.value < 4 { throw RPCError(.unavailable, "not yet") }
        return request
      }
    } _: { channel, _ in
      let reply = try await channel.call(Notes.echo, Note("at last"))
      #expect(reply.text == "at last")
      #expect(attempts.value == 4)
    }
  }

  @Test("A proxy's plain HTTP answer that means UNAVAILABLE is retried", arguments: ["429", "502", "503", "504"])
  func httpStatus(status: String) async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        if peer.requests == 2 {
          peer.begin(stream, with: Note("behind the proxy"))
          return peer.end(stream)
        }
        var fields = HTTP2FieldList()
        fields.append(":status", status)
        fields.append("content-type", "text/html")
        peer.session.submitResponse(stream, fields, endStream: false)
        peer.session.write(stream, Array("<h1>Overloaded</h1>".utf8))
        peer.session.end(stream)
      }
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor, configuration: configuration(.retry(fast)))
      let reply = try await channel.call(Notes.echo, Note(""))
      #expect(reply.text == "behind the proxy")
      #expect(server.peers.map(\.requests) == [2])
      channel.close()
      server.stop()
    }
  }

  @Test("After the last attempt the failure is the call's; another code is final at once")
  func ends() async throws {
    let attempts = Tally()
    try await withPair(channel: configuration(.retry(fast))) {
      $0.handle(Notes.echo) { request, _ in
        attempts.add(1)
        throw RPCError(request.text == "final" ? .notFound : .unavailable, "attempt \(attempts.value)")
      }
    } _: { channel, _ in
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unavailable)
      #expect(error?.message == "attempt 4")
      let final = await failure { _ = try await channel.call(Notes.echo, Note("final")) }
      #expect(final?.code == .notFound)
      #expect(attempts.value == 5)
    }
  }

  @Test("A stream of requests is sent again from its beginning, and not after the server's headers")
  func streams() async throws {
    let attempts = Tally()
    try await withPair(channel: configuration(.retry(fast))) {
      $0.handle(Notes.join) { requests, _ in
        var text = ""
        for try await request in requests { text += request.text }
        attempts.add(1)
        if attempts.value < 3 { throw RPCError(.unavailable, "again") }
        return Note(text)
      }
      $0.handle(Notes.count) { request, writer, _ in
        attempts.add(1)
        try await writer.write(request)
        throw RPCError(.unavailable, "in the middle")
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      for letter in ["a", "b", "c"] { try await call.write(Note(letter)) }
      let reply = try await call.finish()
      #expect(reply.text == "abc")
      #expect(attempts.value == 3)
      let count = try channel.call(Notes.count, Note("x"))
      let responses = count.responses
      let first = try await responses.next()
      #expect(first?.text == "x")
      let error = await failure { _ = try await responses.next() }
      #expect(error?.code == .unavailable)
      #expect(attempts.value == 4)
    }
  }

  @Test("Requests are sent again while all are kept, and not when they are a byte too many", arguments: [0, 1])
  func replayLimit(excess: Int) async throws {
    let message = Note("", data: [UInt8](repeating: 1, count: 100))
    var configuration = configuration(.retry(fast))
    configuration.replayBytes = 2 * (5 + message.wireBytes().count) - excess
    let attempts = Tally()
    try await withPair(channel: configuration) {
      $0.handle(Notes.join) { requests, _ in
        for try await _ in requests {}
        attempts.add(1)
        if attempts.value == 1 { throw RPCError(.unavailable, "again") }
        return Note("")
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      for _ in 0..<2 {
        try await call.write(message)
        try await channel.reactor.wait { call.call.stream != nil }
      }
      let error = await failure { _ = try await call.finish() }
      #expect(error?.code == (excess == 0 ? nil : .unavailable))
      #expect(attempts.value == 2 - excess)
    }
  }

  @Test("Closing the channel ends calls that wait for their next attempt", arguments: [true, false])
  func closedInPause(isHedged: Bool) async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        peer.fail(stream, .unavailable, [("grpc-retry-pushback-ms", "300000")])
      }
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor,
        configuration: configuration(
          isHedged ? .hedge(HedgingPolicy(maxAttempts: 2, delay: .seconds(200))) : .retry(fast)))
      let call = reactor.spawn { try await channel.call(Notes.echo, Note("")) }
      try await reactor.wait { channel.throttle.tokensLeft < 400 && channel.ready.first?.callCount == 0 }
      #expect(channel.paused.count == 1)
      channel.close()
      let error = await failure { _ = try await call.value }
      #expect(error?.code == .cancelled)
      #expect(channel.paused.isEmpty)
      server.stop()
    }
  }

  @Test("The deadline holds over all attempts, and a wait beyond it is not begun")
  func deadline() async throws {
    let slow = RetryPolicy(initialBackoff: .seconds(600), maxBackoff: .seconds(600))
    try await withPair(channel: configuration(.retry(slow))) {
      $0.handle(Notes.echo) { _, _ in throw RPCError(.unavailable, "why") }
    } _: { channel, _ in
      let error = await failure {
        _ = try await channel.call(Notes.echo, Note(""), options: CallOptions(timeout: .seconds(50)))
      }
      #expect(error?.code == .unavailable)
      #expect(error?.message == "why")
      // A call that waits for its next attempt ends when its task is cancelled.
      let waiting = channel.reactor.spawn { try await channel.call(Notes.echo, Note("")) }
      for _ in 0..<50 { await channel.reactor.yield() }
      waiting.cancel()
      let cancelled = await failure { _ = try await waiting.value }
      #expect(cancelled?.code == .cancelled)
    }
  }

  @Test("A server that was away is reached by the retries of calls that do not wait")
  func serverAway() async throws {
    try await onLoop { reactor in
      let placeholder = RPCServer(on: reactor)
      let address = try await placeholder.listen(on: "127.0.0.1:0")
      await placeholder.drain(within: .zero)
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(address)"), on: reactor,
        configuration: configuration(
          .retry(RetryPolicy(maxAttempts: 5, initialBackoff: .milliseconds(300), maxBackoff: .seconds(10)))))
      let call = reactor.spawn { try await channel.call(Notes.echo, Note("patient")) }
      try await reactor.wait { channel.lastFailure != nil }
      let server = RPCServer(on: reactor)
      server.handle(Notes.echo) { request, _ in request }
      try await server.listen(on: "\(address)")
      let reply = try await call.value
      #expect(reply.text == "patient")
      channel.close()
      await server.drain(within: .seconds(1))
    }
  }

  @Test("A hedged call takes the first answer and cancels the other attempt")
  func hedging() async throws {
    let (started, cancelled) = (Tally(), Tally())
    let policy = HedgingPolicy(maxAttempts: 2, delay: .milliseconds(5))
    try await withPair(channel: configuration(.hedge(policy))) {
      $0.handle(Notes.echo) { request, context in
        started.add(1)
        guard started.value == 1 else { return request }
        do {
          try await context.reactor.sleep(for: .seconds(50))
        } catch {
          cancelled.add(1)
          throw error
        }
        return Note("slow")
      }
    } _: { channel, _ in
      let reply = try await channel.call(Notes.echo, Note("fast"))
      #expect(reply.text == "fast")
      try await channel.reactor.wait { cancelled.value == 1 }
      #expect(started.value == 2)
    }
  }

  @Test("Only a method that is marked safe is hedged: another is called once where its service or all are named")
  func unmarked() async throws {
    let careless = UnaryMethod<Note, Note>("test.Notes", "Careless")
    let json = #"{"methodConfig": [{"name": [NAME], "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0s"}}]}"#
    func service(_ name: String) throws -> ServiceConfiguration {
      try ServiceConfiguration(json: json.replacing("NAME", with: name))
    }
    for name in ["{}", #"{"service": "test.Notes"}"#, #"{"service": "test.Notes", "method": "Careless"}"#] {
      var configuration = ChannelConfiguration()
      configuration.service = try service(name)
      let attempts = Tally()
      try await withPair(channel: configuration) {
        $0.handle(careless) { request, context in
          attempts.add(1)
          try await context.reactor.sleep(for: .milliseconds(50))
          return request
        }
      } _: { channel, _ in
        let error = await failure { _ = try await channel.call(careless, Note("")) }
        let isNamed = name.contains("Careless")
        #expect(error?.code == (isNamed ? .internal : nil))
        #expect(error?.message.contains("test.Notes/Careless") == (isNamed ? true : nil))
        #expect(attempts.value == (isNamed ? 0 : 1))
        #expect(channel.settings(of: Notes.echo.descriptor).hedging != nil || isNamed)
      }
    }
  }

  @Test("A hedged call ends with its task, and with the last failure")
  func hedgingEnds() async throws {
    let policy = HedgingPolicy(maxAttempts: 3, delay: .milliseconds(1))
    try await withPair(channel: configuration(.hedge(policy))) {
      $0.handle(Notes.echo) { request, context in
        if request.text == "fail" { throw RPCError(.unavailable, "no") }
        try await context.reactor.sleep(for: .seconds(50))
        return request
      }
    } _: { channel, _ in
      let error = await failure { _ = try await channel.call(Notes.echo, Note("fail")) }
      #expect(error?.code == .unavailable)
      let task = channel.reactor.spawn { try await channel.call(Notes.echo, Note("")) }
      for _ in 0..<20 { await channel.reactor.yield() }
      task.cancel()
      let cancelled = await failure { _ = try await task.value }
      #expect(cancelled?.code == .cancelled)
      try await channel.reactor.wait { channel.connections.allSatisfy { $0.session.openStreamCount == 0 } }
    }
  }

  /// It ended when the server's delay did, minutes later.
  @Test("A hedged call does not outlive its deadline for the delay that the server names")
  func hedgingPushback() async throws {
    try await onLoop { reactor in
      let server = try ScriptedServer(on: reactor) { peer, stream in
        guard peer.requests > 1 else {
          peer.begin(stream, with: Note("connected"))
          return peer.end(stream)
        }
        peer.fail(stream, .unavailable, [("grpc-retry-pushback-ms", "300000")])
      }
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor,
        configuration: configuration(.hedge(HedgingPolicy(maxAttempts: 2, delay: .seconds(200)))))
      _ = try await channel.call(Notes.echo, Note(""))
      let begun = Instant.current()
      let error = await failure {
        _ = try await channel.call(Notes.echo, Note(""), options: CallOptions(timeout: .milliseconds(500)))
      }
      #expect(Instant.current() - begun < .seconds(10))
      #expect(error?.code == .unavailable)
      #expect(server.peers.map(\.requests) == [2])
      channel.close()
      server.stop()
    }
  }

  /// The second attempt was sent without its first messages, and succeeded.
  @Test("What is written while a failed attempt's stream goes is a part of the next attempt, and so is all before it")
  func writtenWhileLeaving() async throws {
    let (large, small) = (200 << 10, 100 << 10)
    let taken = Tally()
    try await withPair(channel: configuration(.retry(fast))) {
      $0.handle(Notes.join) { requests, _ in
        var count = 0
        for try await request in requests {
          count += request.data.count
          taken.add(1)
        }
        return Note("", number: Int64(count))
      }
    } _: { channel, _ in
      let call = try channel.call(Notes.join)
      try await call.write(Note("", data: [UInt8](repeating: 1, count: large)))
      try await channel.reactor.wait { taken.value == 1 }
      let stream = try #require(call.call.stream)
      // Handed in, for the write to come before the RST_STREAM that answers it has left.
      Self.unavailable(on: stream.id).withUnsafeBytes { channel.ready.first?.received($0) }
      try await call.write(Note("", data: [UInt8](repeating: 2, count: small)))
      let reply = try await call.finish()
      #expect(reply.number == Int64(large + small))
      #expect(call.call.previousAttempts == 1)
    }
  }

  /// A HEADERS frame with a status alone.
  private static func unavailable(on stream: Int32) -> [UInt8] {
    var block: [UInt8] = [0x88]
    for (name, value) in [("content-type", "application/grpc"), ("grpc-status", "14")] {
      block += [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }
    return [0, 0, UInt8(block.count), 1, 5] + withUnsafeBytes(of: stream.bigEndian) { Array($0) } + block
  }

  @Test("A method's own settings: the exact name, then the service, then the defaults; the largest request")
  func settings() async throws {
    var configuration = ChannelConfiguration()
    configuration.service.defaults.timeout = .seconds(3)
    configuration.service.configure(service: "test.Notes", MethodConfiguration(timeout: .seconds(2)))
    var small = MethodConfiguration()
    small.maxRequestBytes = 10
    configuration.service.configure(Notes.echo.descriptor, small)
    #expect(configuration.service.configuration(of: Notes.count.descriptor).timeout == .seconds(2))
    #expect(configuration.service.configuration(of: Notes.echo.descriptor).timeout == nil)
    #expect(configuration.service.configuration(of: Health.check.descriptor).timeout == .seconds(3))
    try await withPair(channel: configuration) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let reply = try await channel.call(Notes.echo, Note("12345678"))  // 10 bytes
      #expect(reply.text == "12345678")
      let error = await failure { _ = try await channel.call(Notes.echo, Note("123456789")) }
      #expect(error?.code == .resourceExhausted)
    }
  }

  @Test("Each attempt after the first says how many there were", arguments: [false, true])
  func previousAttempts(isHedged: Bool) async throws {
    try await onLoop { reactor in
      var seen: [String?] = []
      let server = try ScriptedServer(on: reactor) { peer, stream in
        seen.append(peer.block?.first("grpc-previous-rpc-attempts").map { String(decoding: $0, as: UTF8.self) })
        guard seen.count == 4 else { return peer.fail(stream, .unavailable) }
        peer.begin(stream, with: Note("at last"))
        peer.end(stream)
      }
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:\(server.address)"), on: reactor,
        configuration: configuration(
          isHedged ? .hedge(HedgingPolicy(maxAttempts: 4, delay: .seconds(200))) : .retry(fast)))
      let reply = try await channel.call(Notes.echo, Note(""))
      #expect(reply.text == "at last")
      #expect(seen == [nil, "1", "2", "3"])
      channel.close()
      server.stop()
    }
  }

  @Test("At a server that always fails the budget is soon used up, and each call is one attempt")
  func budget() async throws {
    var configuration = configuration(.retry(fast))
    configuration.service.retryThrottle = RetryThrottle(maxTokens: 10)
    let attempts = Tally()
    try await withPair(channel: configuration) {
      $0.handle(Notes.echo) { request, _ in
        attempts.add(1)
        if request.text == "fine" { return request }
        throw RPCError(.unavailable, "no")
      }
    } _: { channel, _ in
      for _ in 0..<100 {
        let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
        #expect(error?.code == .unavailable)
      }
      // Three repeats of the first call, and the second leaves five of ten tokens.
      #expect(attempts.value == 103)
      // Sixty-one successes give 6.1 back: one repeat.
      for _ in 0..<61 { _ = try await channel.call(Notes.echo, Note("fine")) }
      _ = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(attempts.value == 103 + 61 + 2)
    }
  }
}
