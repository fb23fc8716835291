import EventLoop
import RPCRuntime
import Testing

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
    } _: { channel, _ in
      let first = channel.reactor.spawn { try await channel.call(Notes.echo, Note("first")).text }
      while gate.running.value == 0 { await channel.reactor.yield() }
      let late = await failure {
        _ = try await channel.call(Notes.echo, Note("late"), options: CallOptions(timeout: .milliseconds(50)))
      }
      #expect(late?.code == .deadlineExceeded)
      gate.opened.add(1)
      _ = try await first.value
      #expect(gate.running.value == 1)
    }
  }
}
