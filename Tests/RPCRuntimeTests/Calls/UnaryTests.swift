import EventLoop
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("Unary calls", .timeLimit(.minutes(1)))
struct UnaryTests {
  @Test("A request comes back as the handler's answer")
  func echo() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, _ in Note("\(request.text)!", number: request.number + 1, data: request.data) }
    } _: { channel, _ in
      let reply = try await channel.call(Notes.echo, Note("héllo", number: 41, data: [0, 1, 2]))
      #expect(reply == Note("héllo!", number: 42, data: [0, 1, 2]))
    }
  }

  @Test("A message larger than every window comes through", arguments: [70_000, 300_000, 3_000_000])
  func large(size: Int) async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let note = Note("large", data: [UInt8](repeating: 7, count: size))
      let reply = try await channel.call(Notes.echo, note)
      #expect(reply == note)
    }
  }

  @Test("Calls made at the same time share a connection, also beyond its limit of streams")
  func concurrent() async throws {
    var configuration = ServerConfiguration()
    configuration.maxConcurrentStreams = 10
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, context in
        await context.reactor.yield()
        return request
      }
    } _: { channel, _ in
      let tasks = (0..<100).map { index in
        channel.reactor.spawn { try await channel.call(Notes.echo, Note("", number: Int64(index))).number }
      }
      for (index, task) in tasks.enumerated() {
        let number = try await task.value
        #expect(number == Int64(index))
      }
    }
  }

  @Test("Calls that wait for the only stream a server allows get it one after the other")
  func onlyStream() async throws {
    var configuration = ServerConfiguration()
    configuration.maxConcurrentStreams = 1
    try await withPair(server: configuration) {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let options = CallOptions(timeout: .seconds(20))
      let tasks = (0..<5).map { index in
        channel.reactor.spawn { try await channel.call(Notes.echo, Note("", number: index), options: options).number }
      }
      for (index, task) in tasks.enumerated() {
        let number = try await task.value
        #expect(number == Int64(index))
      }
    }
  }

  @Test("More calls at once than a loop runs jobs in a tick all end")
  func manyAtOnce() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, _ in request }
    } _: { channel, _ in
      let target = channel.target
      // The server has a loop of its own, so that answers come while calls still begin.
      try await onLoop { reactor in
        let channels = (0..<40).map { _ in RPCChannel(to: target, on: reactor) }
        var ended = 0
        for channel in channels {
          for _ in 0..<100 {
            reactor.spawn {
              _ = try await channel.call(Notes.echo, Note(""))
              ended += 1
            }
          }
        }
        let limit = Instant.current() + .seconds(30)
        while ended < 4000, Instant.current() < limit { try await reactor.sleep(for: .milliseconds(1)) }
        #expect(ended == 4000)
        for channel in channels { channel.close() }
      }
    }
  }

  @Test("An RPCError arrives with code, message, details and trailers")
  func error() async throws {
    try await withPair {
      $0.handle(Notes.echo) { _, context in
        context.trailers = ["x-after": "yes"]
        throw RPCError(
          .failedPrecondition, reason: "not_connected", domain: "test", "no — not “now”\n100%",
          details: [BadRequest([.init(field: "a", description: "b")])])
      }
    } _: { channel, _ in
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message == "no — not “now”\n100%")
      #expect(error?.errorInfo == ErrorInfo(reason: "not_connected", domain: "test"))
      #expect(error?.badRequest?.fieldViolations == [.init(field: "a", description: "b")])
      #expect(error?.trailers.text("x-after") == "yes")
    }
  }

  @Test("Any other error becomes UNKNOWN without its text")
  func foreignError() async throws {
    struct Secret: Error { let password = "hunter2" }
    try await withPair {
      $0.handle(Notes.echo) { _, _ in throw Secret() }
    } _: { channel, _ in
      let error = await failure { _ = try await channel.call(Notes.echo, Note("")) }
      #expect(error?.code == .unknown)
      #expect(error?.message == "the call failed")
    }
  }

  @Test("A method that the server does not have is UNIMPLEMENTED")
  func unknownMethod() async throws {
    try await withPair { _ in
    } _: { channel, _ in
      let error = await failure { _ = try await channel.call(Notes.missing, Note("")) }
      #expect(error?.code == .unimplemented)
    }
  }

  @Test("Metadata goes both ways, text and binary, several values a name")
  func metadata() async throws {
    try await withPair {
      $0.handle(Notes.echo) { request, context in
        context.initialMetadata = ["x-first": "1"]
        context.trailers = context.metadata
        return request
      }
    } _: { channel, _ in
      var metadata: Metadata = ["x-kind": "a", "x-kind": "b", "key-bin": .binary([0, 255, 10])]
      try metadata.append("empty-bin", binary: [])
      let reply = try await channel.unary(Notes.echo, Note(""), options: CallOptions(metadata: metadata))
      #expect(reply.initialMetadata.text("x-first") == "1")
      #expect(reply.trailers.values("x-kind") == ["a", "b"])
      #expect(reply.trailers.binary("key-bin") == [0, 255, 10])
      #expect(reply.trailers.binary("empty-bin") == [])
    }
  }

  @Test("Handlers that wait do not hold up those that began with them, nor their own cancellation", arguments: [1, 50])
  func handlersThatWait(count: Int) async throws {
    var configuration = ChannelConfiguration()
    configuration.service.balancing = .pickFirst
    try await withPair(channel: configuration) {
      $0.handle(Notes.echo) { request, context in
        if request.text == "wait" { try await context.reactor.sleep(for: .seconds(3600)) }
        return request
      }
    } _: { channel, server in
      let reactor = channel.reactor
      _ = try await channel.call(Notes.echo, Note("connects"))
      // All leave in one write, in turn.
      let calls = (0..<2 * count).map { number in
        reactor.spawn { try await channel.call(Notes.echo, Note(number % 2 == 0 ? "wait" : "\(number)")).text }
      }
      for number in stride(from: 1, to: 2 * count, by: 2) {
        #expect(try await calls[number].value == "\(number)")
      }
      #expect(server.runningHandlers == count)
      for number in stride(from: 0, to: 2 * count, by: 2) { calls[number].cancel() }
      for number in stride(from: 0, to: 2 * count, by: 2) { _ = await calls[number].result }
      #expect(try await channel.call(Notes.echo, Note("goes on")).text == "goes on")
      try await reactor.wait(until: { server.runningHandlers == 0 })
    }
  }
}
