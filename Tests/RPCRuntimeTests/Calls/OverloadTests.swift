import EventLoop
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("A server with too much to do", .timeLimit(.minutes(1)))
struct OverloadTests {
  /// Handlers of `echo` wait until this opens.
  private final class Gate: Sendable {
    let opened = Tally()
    let running = Tally()
    func pass(_ reactor: Reactor) async throws {
      running.add(1)
      while opened.value == 0 { try await reactor.sleep(for: .milliseconds(1)) }
    }
  }

  @Test("Requests that wait hold no more than their budget: others are refused with a time to come back")
  func requestBytes() async throws {
    var configuration = ServerConfiguration()
    configuration.concurrency.maxCalls = 1
    configuration.concurrency.maxQueueTime = .seconds(50)
    configuration.maxRequestBytes = 1_100_000
    configuration.requests.maxBufferedBytesPerConnection = 3_500_000
    let (gate, refused) = (Gate(), Tally())
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        try await gate.pass(context.reactor)
        return Note(request.text)
      }
    } _: { channel, _ in
      let calls = (0..<8).map { number in
        channel.reactor.spawn {
          let request = Note("\(number)", data: [UInt8](repeating: 1, count: 1_000_000))
          let error = await failure { _ = try await channel.call(Notes.echo, request) }
          if error != nil { refused.add(1) }
          return error
        }
      }
      let small = channel.reactor.spawn { try await channel.call(Notes.echo, Note("small")).text }
      // One runs, three wait.
      try await channel.reactor.wait(until: { refused.value >= 4 })
      gate.opened.add(1)
      var errors: [RPCError] = []
      for call in calls { if let error = try await call.value { errors.append(error) } }
      #expect(errors.count < calls.count)
      #expect(errors.allSatisfy { $0.code == .resourceExhausted && $0.retryInfo != nil })
      let text = try await small.value
      #expect(text == "small")
      // All is given back: a request of the largest size gets through.
      let large = try await channel.call(Notes.echo, Note("x", data: [UInt8](repeating: 1, count: 1_099_000)))
      #expect(large.text == "x")
    }
  }

  @Test("Between handlers that take long sockets and timers have their turn, though the calls came together")
  func dearHandlers() async throws {
    let (ran, before) = (Tally(), Tally())
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        if request.text.isEmpty { return request }
        if ran.value == 0 { context.reactor.schedule(after: .zero) { before.add(ran.value) } }
        ran.add(1)
        let end = Instant.current() + .milliseconds(1)
        while .current() < end {}
        return request
      }
    } _: { channel, _ in
      // The connection is there, so that they leave in one piece.
      _ = try await channel.call(Notes.echo, Note(""))
      let calls = (0..<4).map { _ in channel.reactor.spawn { try await channel.call(Notes.echo, Note("x")) } }
      for call in calls { _ = try await call.value }
    }
    #expect(ran.value == 4 && before.value == 1)
  }

  @Test("Answers above the connection's share all reach a client that takes them")
  func manyLargeAnswers() async throws {
    var configuration = ServerConfiguration()
    configuration.maxUnsentBytesPerConnection = 1 << 20
    configuration.maxUnsentBytes = 1 << 20
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { _, _ in Note("", data: [UInt8](repeating: 1, count: 2 << 20)) }
    } _: { channel, _ in
      let calls = (0..<24).map { _ in
        channel.reactor.spawn { try await channel.call(Notes.echo, Note("")).data.count }
      }
      for call in calls {
        let count = try await call.value
        #expect(count == 2 << 20)
      }
    }
  }

  @Test("As many connections as allowed are served; one more is closed at once")
  func maxConnections() async throws {
    var configuration = ServerConfiguration()
    configuration.connections.maxConnections = 2
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, server in
      let target = channel.target
      let second = RPCChannel(to: target, on: channel.reactor)
      for allowed in [channel, second] { _ = try await allowed.call(Notes.echo, Note("")) }
      let third = RPCChannel(to: target, on: channel.reactor)
      let refused = await failure { _ = try await third.call(Notes.echo, Note("")) }
      #expect(refused?.code == .unavailable)
      // It would go on trying, and take the place that is wanted for another.
      third.close()
      second.close()
      let again = RPCChannel(to: target, on: channel.reactor)
      // The server hears of the end a little later.
      while await failure({ _ = try await again.call(Notes.echo, Note(""), options: CallOptions(waitForReady: true)) })
        != nil
      {}
      again.close()
    }
  }

  @Test("Calls wait in order, then are turned away with a time to come back; health is answered all the while")
  func shedding() async throws {
    var configuration = ServerConfiguration()
    configuration.concurrency.maxCalls = 2
    configuration.concurrency.maxQueuedCalls = 3
    configuration.concurrency.maxQueueTime = .seconds(50)
    let gate = Gate()
    let registry = HealthRegistry()
    registry.setAll(.serving)
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        try await gate.pass(context.reactor)
        return request
      }
      $0.handle(Notes.count) { request, writer, _ in try await writer.write(request) }
      $0.serveHealth(of: registry)
    } _: { channel, _ in
      let calls = (0..<6).map { number in
        channel.reactor.spawn { try await channel.call(Notes.echo, Note("\(number)")).text }
      }
      // The sixth is refused; it is answered before the others can be.
      let refusal = await failure { _ = try await calls[5].value }
      #expect(refusal?.code == .resourceExhausted)
      let delay = refusal?.retryInfo?.retryDelay ?? .zero
      #expect(delay >= .seconds(50) && delay <= .seconds(100))
      #expect(gate.running.value == 2)
      let stream = await failure { for try await _ in try channel.call(Notes.count, Note("")) {} }
      #expect(stream?.code == .resourceExhausted)
      let health = try await channel.call(Health.check, HealthCheckRequest())
      #expect(health.status == .serving)
      // One that waits is given up: its place is free again.
      calls[4].cancel()
      let cancelled = await failure { _ = try await calls[4].value }
      #expect(cancelled?.code == .cancelled)
      gate.opened.add(1)
      for number in 0..<4 {
        let text = try await calls[number].value
        #expect(text == "\(number)")
      }
      #expect(gate.running.value == 4)
      let after = try await channel.call(Notes.echo, Note("after"))
      #expect(after.text == "after")
    }
  }

  @Test("A call that has waited too long is turned away")
  func queueTime() async throws {
    var configuration = ServerConfiguration()
    configuration.concurrency.maxCalls = 1
    configuration.concurrency.maxQueueTime = .milliseconds(10)
    let gate = Gate()
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        try await gate.pass(context.reactor)
        return request
      }
    } _: { channel, _ in
      let first = channel.reactor.spawn { try await channel.call(Notes.echo, Note("first")).text }
      while gate.running.value == 0 { await channel.reactor.yield() }
      let second = await failure { _ = try await channel.call(Notes.echo, Note("second")) }
      #expect(second?.code == .resourceExhausted)
      gate.opened.add(1)
      let text = try await first.value
      #expect(text == "first")
      #expect(gate.running.value == 1)
    }
  }

  @Test("A call that waits ends at its deadline, without having begun")
  func deadline() async throws {
    var configuration = ServerConfiguration()
    configuration.concurrency.maxCalls = 1
    configuration.concurrency.maxQueueTime = .seconds(50)
    let gate = Gate()
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        try await gate.pass(context.reactor)
        return request
      }
    } _: { channel, server in
      let first = channel.reactor.spawn { try await channel.call(Notes.echo, Note("first")).text }
      while gate.running.value == 0 { await channel.reactor.yield() }
      let late = await failure {
        _ = try await channel.call(Notes.echo, Note("late"), options: CallOptions(timeout: .milliseconds(50)))
      }
      #expect(late?.code == .deadlineExceeded)
      // The client's time is up a little before the server's.
      try await channel.reactor.wait { server.queue.isEmpty }
      gate.opened.add(1)
      _ = try await first.value
      #expect(gate.running.value == 1)
    }
  }

  @Test("A sudden slowdown lowers the adaptive limit; what is above it is turned away, and health is answered")
  func slowdown() async throws {
    var configuration = ServerConfiguration()
    var adaptive = ConcurrencyPolicy.Adaptive()
    (adaptive.initial, adaptive.minimum) = (16, 2)
    configuration.concurrency.adaptive = adaptive
    configuration.concurrency.maxQueuedCalls = 4
    configuration.concurrency.maxQueueTime = .seconds(50)
    let (isSlow, isOver) = (Tally(), Tally())
    let registry = HealthRegistry()
    registry.setAll(.serving)
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        if isSlow.value > 0 { try await context.reactor.sleep(for: .milliseconds(100)) }
        return request
      }
      $0.serveHealth(of: registry)
    } _: { channel, server in
      while server.admission.adaptive?.usual == nil { _ = try await channel.call(Notes.echo, Note("usual")) }
      #expect(server.admission.limit == 16)
      isSlow.add(1)
      let callers = (0..<20).map { _ in
        channel.reactor.spawn {
          var refusals: [RPCError] = []
          while isOver.value == 0 {
            guard let refusal = await failure({ _ = try await channel.call(Notes.echo, Note("")) }) else { continue }
            refusals.append(refusal)
            try await channel.reactor.sleep(for: .milliseconds(10))
          }
          return refusals
        }
      }
      // 12 that run and 4 that wait: no longer all of them.
      try await channel.reactor.wait { server.admission.limit <= 12 && server.admission.shedCount > 0 }
      let health = try await channel.call(Health.check, HealthCheckRequest())
      #expect(health.status == .serving)
      isOver.add(1)
      for caller in callers {
        for refusal in try await caller.value {
          #expect(refusal.code == .resourceExhausted)
          #expect(refusal.retryInfo != nil)
        }
      }
    }
  }

  /// The time at which a call began was that of the tick before the loop's sleep.
  @Test("The adaptive limit measures the handlers, not the sleep of the loop that a call ends")
  func latencyWithoutSleep() async throws {
    let server = try await Remote { reactor in
      var configuration = ServerConfiguration()
      configuration.concurrency.adaptive = ConcurrencyPolicy.Adaptive()
      let server = RPCServer(on: reactor, configuration: configuration)
      server.handle(Notes.echo) { request, _ in request }
      return server
    }
    let address = try await server.run { server, _ in try await server.listen(on: "127.0.0.1:0") }
    try await onLoop { reactor in
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      var usual: Double?
      var seen: [Duration] = []
      while usual == nil {
        try await reactor.sleep(for: .milliseconds(30))
        let before = Instant.current()
        _ = try await channel.call(Notes.echo, Note(""))
        seen.append(Instant.current() - before)
        usual = try await server.run { server, _ in server.admission.adaptive?.usual }
      }
      // A handler's time lies within that of its call.
      #expect(usual! <= (seen.reduce(.zero, +) / seen.count).inSeconds)
      channel.close()
    }
    await server.stop { await $0.drain(within: .seconds(1)) }
  }
}
