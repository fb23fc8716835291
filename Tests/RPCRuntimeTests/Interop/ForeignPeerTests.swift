import EventLoop
import RPCRuntime
import TestSupport
import Testing

@Suite("The official gRPC runtime on the other side", .timeLimit(.minutes(2)))
struct ForeignPeerTests {
  @Test("grpcio's client finds nothing wrong with our server")
  func theirClient() async throws {
    try await onLoop { reactor in
      let server = RPCServer(on: reactor)
      Self.register(on: server)
      let health = HealthRegistry(services: ["test.Notes"])
      health.setAll(.serving)
      server.serveHealth(of: health)
      try server.serveReflection(of: [ReflectionTests.noteFile])
      let address = try await server.listen(on: "127.0.0.1:0")
      let peer = try PythonPeer(["client", "\(address)"])
      let faults = await peer.rest()
      peer.stop()
      #expect(faults == "")
      await server.drain(within: .seconds(1))
    }
  }

  /// The handlers that `grpc_peer.py client` expects.
  private static func register(on server: RPCServer) {
    let waiting = Tally()
    server.handle(Notes.echo) { request, context in
      switch request.text {
      case "fail":
        throw RPCError(.failedPrecondition, reason: "not_connected", domain: "test", "no — 100 %\nof it")
      case "sleep":
        waiting.add(1)
        defer { waiting.add(-1) }
        try await context.reactor.sleep(for: .seconds(60))
      case "waiting": return Note("", number: Int64(waiting.value))
      case "metadata":
        context.initialMetadata = ["x-initial": "yes"]
        context.trailers = context.metadata
      case "compress": context.responseEncoding = .gzip
      default: break
      }
      return request
    }
    server.handle(Notes.count) { request, writer, _ in
      for number in 0..<request.number { try await writer.write(Note("", number: number, data: request.data)) }
    }
    server.handle(Notes.join) { reader, _ in
      var sum: Int64 = 0
      for try await note in reader { sum += note.number }
      return Note("", number: sum)
    }
    server.handle(Notes.chat) { reader, writer, _ in
      waiting.add(1)
      defer { waiting.add(-1) }
      for try await note in reader { try await writer.write(Note("", number: note.number * 2)) }
    }
  }

  @Test("Our client gets along with grpcio's server")
  func theirServer() async throws {
    let peer = try PythonPeer(["server"])
    let port = await peer.line()
    try await onLoop { reactor in
      var configuration = ChannelConfiguration()
      configuration.backoff = Backoff(initial: .milliseconds(50), limit: .milliseconds(200))
      let channel = RPCChannel(
        to: try ChannelTarget("ipv4:127.0.0.1:\(port)"), on: reactor, configuration: configuration)
      try await Self.checkUnary(channel)
      try await Self.checkStreams(channel)
      try await Self.checkEnds(channel)
      try await Self.checkRestart(channel, peer)
      channel.close()
    }
    peer.stop()
  }

  private static func checkUnary(_ channel: RPCChannel) async throws {
    for note in [
      Note(""), Note("héllo ✓", number: -7, data: Array(0...255)),
      Note("", data: Array(repeating: 1, count: 3_000_000)),
    ] {
      for encoding in MessageEncoding.allCases {
        let reply = try await channel.unary(Notes.echo, note, options: CallOptions(requestEncoding: encoding))
        #expect(reply.message == note)
        #expect(reply.isCompressed == (note.data.count > 1000))
      }
    }
    let metadata: Metadata = ["x-kind": "a", "x-kind": "b", "key-bin": .binary([0, 255, 10])]
    let reply = try await channel.unary(Notes.echo, Note("metadata"), options: CallOptions(metadata: metadata))
    #expect(reply.initialMetadata.text("x-initial") == "yes")
    #expect(reply.trailers.values("x-kind") == ["a", "b"])
    #expect(reply.trailers.binary("key-bin") == [0, 255, 10])
    let error = await failure { _ = try await channel.call(Notes.echo, Note("fail")) }
    #expect(error?.code == .failedPrecondition)
    #expect(error?.message == "no — 100 %")
    #expect(error?.errorInfo == ErrorInfo(reason: "not_connected", domain: "test"))
    #expect(error?.trailers.text("x-after") == "yes")
    let missing = await failure { _ = try await channel.call(Notes.missing, Note("")) }
    #expect(missing?.code == .unimplemented)
  }

  private static func checkStreams(_ channel: RPCChannel) async throws {
    var numbers: [Int64] = []
    let request = Note("", number: 500, data: [UInt8](repeating: 1, count: 20_000))
    for try await note in try channel.call(Notes.count, request) { numbers.append(note.number) }
    #expect(numbers == Array(0..<500))
    let join = try channel.call(Notes.join)
    for number in 1...100 {
      try await join.write(Note("", number: Int64(number), data: [UInt8](repeating: 1, count: 20_000)))
    }
    let sum = try await join.finish()
    #expect(sum.number == 5050)
    let chat = try channel.call(Notes.chat)
    for number in 1...50 {
      try await chat.write(Note("", number: Int64(number)))
      let answer = try await chat.responses.next()
      #expect(answer?.number == Int64(2 * number))
    }
    chat.finishWriting()
    let end = try await chat.responses.next()
    #expect(end == nil)
  }

  private static func checkEnds(_ channel: RPCChannel) async throws {
    let left = try await channel.call(Notes.echo, Note("time"), options: CallOptions(timeout: .seconds(100)))
    #expect(left.number >= 90 && left.number <= 100)
    let late = await failure {
      _ = try await channel.call(Notes.echo, Note("sleep"), options: CallOptions(timeout: .milliseconds(100)))
    }
    #expect(late?.code == .deadlineExceeded)
    try await until(0, waitOn: channel)
    let task = channel.reactor.spawn { try await channel.call(Notes.echo, Note("sleep")) }
    try await until(1, waitOn: channel)
    task.cancel()
    let cancelled = await failure { _ = try await task.value }
    #expect(cancelled?.code == .cancelled)
    try await until(0, waitOn: channel)
  }

  /// Until so many of the peer's handlers wait: for 15 s at most, which is less than they wait themselves.
  private static func until(_ count: Int64, waitOn channel: RPCChannel) async throws {
    let deadline = Instant.current() + .seconds(15)
    while true {
      let waiting = try await channel.call(Notes.echo, Note("waiting")).number
      if waiting == count { return }
      try #require(Instant.current() < deadline, "\(waiting) handlers wait, not \(count)")
      try await channel.reactor.sleep(for: .milliseconds(20))
    }
  }

  /// The channel finds the server again after its restart. While grpcio's server stops it answers calls that came just
  /// too late with CANCELLED, or ends their connection; our own server's drain is not seen by any call
  /// (`LifetimeTests`).
  private static func checkRestart(_ channel: RPCChannel, _ peer: PythonPeer) async throws {
    let options = CallOptions(timeout: .seconds(20), waitForReady: true)
    let restarted = Tally()
    let calls = channel.reactor.spawn {
      var codes: [StatusCode] = []
      while restarted.value == 0 {
        if let error = await failure({ _ = try await channel.call(Notes.echo, Note("again"), options: options) }) {
          codes.append(error.code)
        }
      }
      return codes
    }
    try peer.tell("restart")
    let answer = await peer.line()
    #expect(answer == "restarted")
    restarted.add(1)
    let codes = try await calls.value
    #expect(codes.allSatisfy { $0 == .cancelled || $0 == .unavailable }, "\(codes)")
    let after = try await channel.call(Notes.echo, Note("after"), options: options)
    #expect(after.text == "after")
  }
}
