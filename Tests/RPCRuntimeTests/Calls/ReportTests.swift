import EventLoop
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("What servers and channels tell of themselves", .timeLimit(.minutes(1)))
struct ReportTests {
  @Test("A call that waits is seen from both ends, with its windows, and what it holds back")
  func calls() async throws {
    try await withPair { server in
      server.handle(Notes.chat) { requests, replies, _ in
        try await replies.write(Note("begin"))
        for try await request in requests where request.text == "end" { return }
      }
    } _: { channel, server in
      let call = try channel.call(Notes.chat, options: CallOptions(timeout: .seconds(600)))
      try await call.write(Note("first"))
      let begin = try await call.responses.next()
      #expect(begin?.text == "begin")

      let ours = server.report()
      #expect((ours.connectionCount, ours.runningCalls, ours.isDraining, ours.queuedCalls) == (1, 1, false, 0))
      #expect(ours.addresses.count == 1)
      let connection = try #require(ours.connections.first)
      #expect(connection.state == .open)
      #expect((connection.identity, connection.isTLS, connection.streamCount) == (nil, false, 1))
      #expect(connection.receivedBytes > 0 && connection.sentBytes > 0)
      #expect(connection.receiveWindow <= 128 * server.configuration.streamWindowBytes)
      let stream = try #require(connection.streams.first)
      #expect(stream.method == "test.Notes/Chat")
      #expect(try #require(stream.timeLeft) > .seconds(500))
      #expect(stream.sendWindow > 0 && stream.receiveWindow > 0)

      let theirs = channel.report()
      #expect((theirs.state, theirs.balancing, theirs.waitingCalls) == ("ready", "pick_first", 0))
      #expect((theirs.retryTokens, theirs.maxRetryTokens) == (400, 400))
      #expect(theirs.subchannels.map(\.state) == ["ready"])
      #expect(theirs.subchannels.first?.isServing == nil)
      #expect(theirs.subchannels.first?.connection?.streams.map(\.method) == ["test.Notes/Chat"])
      #expect(theirs.subchannels.first?.connection?.peer == ours.addresses.first)

      try await call.write(Note("end"))
      call.finishWriting()
      let end = try await call.responses.next()
      #expect(end == nil)
    }
  }

  @Test("No more connections and streams are shown than allowed; the counts tell all")
  func limits() async throws {
    try await withPair { server in
      server.handle(Notes.chat) { requests, replies, _ in
        try await replies.write(Note("begin"))
        for try await _ in requests {}
      }
    } _: { channel, server in
      var calls: [BidirectionalCall<Note, Note>] = []
      for _ in 0..<3 {
        let call = try channel.call(Notes.chat)
        let begin = try await call.responses.next()
        #expect(begin?.text == "begin")
        calls.append(call)
      }
      var limits = ReportLimits()
      limits.streams = 3
      #expect(server.report(limits).connections.first?.streams.count == 3)
      limits.streams = 2
      let connection = try #require(server.report(limits).connections.first)
      #expect((connection.streamCount, connection.streams.count) == (3, 2))
      #expect(connection.streams.map(\.id) == connection.streams.map(\.id).sorted())
      limits.connections = 0
      #expect((server.report(limits).connectionCount, server.report(limits).connections.count) == (1, 0))
      for call in calls { call.cancel() }
    }
  }

  @Test("An address that does not answer is seen to back off, an ejected one to be left out")
  func trouble() async throws {
    try await onLoop { reactor in
      let fleet = Fleet(on: reactor)
      for number in 0..<2 {
        try await fleet.add { server in
          server.handle(Notes.count) { _, _, _ in
            if number == 0 { throw RPCError(.internal, "broken") }
          }
        }
      }
      let gone = try SocketAddress(path: "/nowhere/at/all")
      fleet.published = fleet.addresses + [gone]
      let channel = try fleet.channel {
        $0.backoff = Backoff(initial: .seconds(600), limit: .seconds(600))
        var outliers = OutlierDetection()
        outliers.consecutiveFailures = 1
        $0.service.outlierDetection = outliers
        $0.service.healthCheckedService = "nobody answers for it, so it is well"
      }
      let options = CallOptions(waitForReady: true)
      while !channel.report().subchannels.contains(where: \.isEjected) {
        do {
          for try await _ in try channel.call(Notes.count, Note(), options: options) {}
        } catch {}
      }
      try await reactor.wait { channel.report().subchannels.last?.state == "backing_off" }
      let report = channel.report()
      #expect(report.subchannels.map(\.isEjected) == [true, false, false])
      #expect(report.subchannels.map(\.isServing) == [true, true, nil])
      let last = try #require(report.subchannels.last)
      #expect((last.address, last.connection == nil) == (gone.description, true))
      #expect(try #require(last.nextAttemptIn) > .seconds(300))
      channel.close()
      #expect(channel.report().state == "closed")
      await fleet.stop()
    }
  }
}
