import Testing

@testable import HTTP2Session

@Suite("How long a connection is good for more")
struct ConnectionLifeTests {
  private static let limit = HTTP2Configuration().stallTimeout

  /// A server that an honest peer has greeted.
  private static func greeted(_ change: (inout HTTP2Configuration) -> Void = { _ in }) throws -> RawPeer {
    var configuration = HTTP2Configuration()
    change(&configuration)
    return try RawPeer(configuration)
  }

  // MARK: Output that does not leave

  @Test("Output of which nothing leaves ends the connection after the time-out, and not at it")
  func writeStall() throws {
    let peer = try Self.greeted()
    let start = peer.now + 1000 * Self.limit  // so long there was nothing to say
    peer.server.check(now: start)
    peer.server.ping(1)
    peer.server.check(now: start + Self.limit)
    #expect(peer.server.terminatedBy == nil && !peer.server.isAbandoned)
    peer.server.check(now: start + Self.limit + 1)
    peer.drain()
    #expect(peer.server.terminatedBy == .writeStall && peer.limits == [.writeStall])
    #expect(peer.server.isAbandoned, "a GOAWAY would not leave either")
  }

  /// Has some leave at `time`, and again a moment after the time-out, and nothing after that.
  private static func expectProgress(_ server: HTTP2Session, at time: UInt64, _ leave: () throws -> Void) throws {
    server.check(now: time)
    try leave()
    server.check(now: time + limit + 1)
    #expect(server.terminatedBy == nil, "some left since the last look")
    try leave()
    server.check(now: time + limit + 2)
    server.check(now: time + 2 * limit + 1)
    #expect(server.terminatedBy == nil, "the time begins with what left last")
    server.check(now: time + 2 * limit + 2)
    #expect(server.terminatedBy == .writeStall)
  }

  @Test("Output of which some leaves now and then does not stall, and its time begins with what left last")
  func slowOutput() throws {
    let peer = try Self.greeted()
    for word in 0..<9 as Range<UInt64> { peer.server.ping(word) }
    try Self.expectProgress(peer.server, at: 1000) { _ = try #require(try peer.server.nextOutput()) }
  }

  @Test("What a sink has taken has left")
  func sinkOutput() throws {
    final class Sink: HTTP2DataSink {
      var count = 0
      func takeData(_ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer) -> Bool {
        count += 1
        return false
      }
    }
    let (peer, sink) = (try Self.greeted { $0.windowStallTimeout = nil }, Sink())
    peer.server.dataSink = sink
    try peer.send(RawFrame.headers(1))
    let stream = try #require(peer.server.streams.first)
    peer.server.submitResponse(stream, response(), endStream: false)
    while try peer.server.nextOutput() != nil {}
    peer.server.write(stream, [UInt8](repeating: 1, count: 60_000))
    try Self.expectProgress(peer.server, at: 1000) { _ = try peer.server.nextOutput() }
    #expect(sink.count == 2)
  }

  // MARK: More requests

  /// Whether the client says that it takes a request, and whether it does.
  private static func takesRequests(_ pair: SessionPair) -> [Bool] {
    let says = pair.client.canOpenStream
    return [says, pair.client.submitRequest(request(), endStream: true, owner: nil) != nil]
  }

  @Test("At the peer's limit a connection takes requests that wait, and says so; below it again they go at once")
  func atTheLimit() throws {
    var configuration = HTTP2Configuration()
    configuration.maxConcurrentStreams = 1
    let pair = SessionPair(server: configuration)
    try pair.pump()
    #expect(Self.takesRequests(pair) == [true, true])
    #expect(Self.takesRequests(pair) == [false, true])
    try pair.pump()
    for id in [1, 3] as [Int32] {
      #expect(!pair.client.canOpenStream)
      pair.server.submitResponse(try #require(pair.serverStreams[id]), response(), endStream: true)
      try pair.pump()
    }
    #expect(pair.client.canOpenStream)
  }

  @Test("After the peer's GOAWAY a connection takes no more requests, those under way finish, and then it is finished")
  func peerLeaves() throws {
    let pair = SessionPair()
    try pair.pump()
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(!pair.client.receivedGoAway)
    pair.server.beginShutdown(now: pair.now)
    try pair.pump()
    #expect(pair.client.receivedGoAway && !pair.client.isShuttingDown)
    #expect(Self.takesRequests(pair) == [false, false] && pair.client.openStreamCount == 1)
    pair.server.submitResponse(try #require(pair.serverStreams[1]), response(), endStream: true)
    try pair.pump()
    #expect(pair.clientLog.contains("response 1 [:status=200] end") && pair.client.isFinished)
  }

  @Test("A connection that we end takes no more requests, those under way finish, and then it is finished")
  func weLeave() throws {
    let pair = SessionPair()
    try pair.pump()
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(!pair.client.isShuttingDown && !pair.client.isFinished)
    pair.client.beginShutdown(now: pair.now)
    #expect(pair.client.isShuttingDown)
    #expect(Self.takesRequests(pair) == [false, false])
    try pair.pump()
    pair.server.submitResponse(try #require(pair.serverStreams[1]), response(), endStream: true)
    try pair.pump()
    #expect(pair.clientLog.contains("response 1 [:status=200] end") && pair.client.isFinished)
  }

  @Test("A connection that is cut off takes nothing and gives nothing")
  func cutOff() throws {
    let pair = SessionPair()
    try pair.pump()
    pair.client.abandonStreams(.internalError)
    #expect(Self.takesRequests(pair) == [false, false])
    pair.client.ping(1)
    #expect(pair.client.isFinished && !pair.client.wantsOutput)
    #expect(try pair.client.nextOutput() == nil)
  }

  @Test("A stream object that serves another stream remembers nothing of the one before")
  func reuse() {
    let (used, fresh) = (HTTP2Stream(), HTTP2Stream())
    used.id = 7
    used.owner = used
    used.remoteEnded = true
    used.localEnded = true
    used.isClosed = true
    used.neverSent = true
    used.liveIndex = 3
    used.blockStart = 1
    used.blockSize = 2
    used.blocks = 3
    used.blockRefused = true
    used.blockStarted = 4
    [1, 2, 3].withUnsafeBytes { used.appendPending($0) }
    used.takePending(2) { _ in }
    used.outgoing = .ending
    used.deferred = true
    used.trailers = response()
    used.drainMark = 5
    used.unconsumed = 6
    used.resetByOwner = true
    used.resetByPeer = true
    used.prepareForReuse()
    /// All but what memory is kept in, and what each new section and stream begins with.
    func state(_ stream: HTTP2Stream) -> [String: String] {
      let begun = ["arena", "fields", "pending", "blockKind", "progress", "trickled"]
      let members = Mirror(reflecting: stream).children.compactMap { child in child.label.map { ($0, "\(child.value)") }
      }
      return Dictionary(uniqueKeysWithValues: members.filter { !begun.contains($0.0) })
    }
    #expect(state(used) == state(fresh) && state(fresh).count > 15)
    #expect(used.pendingBytes == 0 && used.fields.count == 0)
  }
}
