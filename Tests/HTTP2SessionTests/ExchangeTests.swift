import Testing

@testable import HTTP2Session

@Suite("Exchanges between two sessions")
struct ExchangeTests {
  @Test("A unary answer leaves as HEADERS, DATA and trailers without an empty frame between")
  func unary() throws {
    let pair = SessionPair()
    pair.onEnd = { server, stream in
      server.submitResponse(stream, response(), endStream: false)
      server.write(stream, Array("hello".utf8))
      var trailers = HTTP2FieldList()
      trailers.append("grpc-status", "0")
      server.end(stream, trailers: trailers)
    }
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.write(stream, Array("body".utf8))
    pair.client.end(stream)
    try pair.pump()
    #expect(
      pair.serverLog == [
        "settings", "request 1 [:method=POST :scheme=http :path=/ :authority=test]", "data 1 4", "end 1",
        "closed 1 NO_ERROR",
      ])
    #expect(
      pair.clientLog == [
        "settings", "response 1 [:status=200]", "data 1 5", "trailers 1 [grpc-status=0] end", "end 1",
        "closed 1 NO_ERROR",
      ])
  }

  @Test("Trailers without a body send no DATA frame")
  func trailersOnlyAfterHeaders() throws {
    let pair = SessionPair()
    pair.onEnd = { server, stream in
      server.submitResponse(stream, response(), endStream: false)
      var trailers = HTTP2FieldList()
      trailers.append("grpc-status", "5")
      server.end(stream, trailers: trailers)
    }
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(!pair.clientLog.contains { $0.hasPrefix("data") })
    #expect(pair.clientLog.contains("trailers 1 [grpc-status=5] end"))
  }

  @Test("A response of headers alone ends the stream")
  func headersOnly() throws {
    let pair = SessionPair()
    pair.onEnd = { server, stream in server.submitResponse(stream, response("404"), endStream: true) }
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.suffix(3) == ["response 1 [:status=404] end", "end 1", "closed 1 NO_ERROR"])
  }

  @Test("A server that answers before the request is complete resets the rest with NO_ERROR")
  func earlyAnswer() throws {
    let pair = SessionPair()
    pair.onRequest = { server, stream, _ in server.submitResponse(stream, response("413"), endStream: true) }
    _ = pair.client.submitRequest(request(), endStream: false, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.contains("response 1 [:status=413] end"))
    #expect(pair.clientLog.last == "closed 1 NO_ERROR")
  }

  /// A client closed a healthy connection for it: the resets counted as if a flood of them had come.
  @Test("To a client the server's resets are no flood, however many of its uploads end early")
  func manyEarlyAnswers() throws {
    var configuration = HTTP2Configuration()
    configuration.peerResets = HTTP2Rate(burst: 20, perSecond: 1)
    let pair = SessionPair(client: configuration)
    pair.onRequest = { server, stream, _ in server.submitResponse(stream, response("413"), endStream: true) }
    for _ in 0..<100 {
      _ = pair.client.submitRequest(request(), endStream: false, owner: nil)
      try pair.pump()
    }
    #expect(pair.clientLog.filter { $0.hasPrefix("closed") && $0.hasSuffix("NO_ERROR") }.count == 100)
    #expect(pair.client.terminatedBy == nil)
  }

  /// The stream was reset, and with enough of them the connection ended.
  @Test("White space around a value is left out, on both sides")
  func paddedValues() throws {
    let pair = SessionPair()
    pair.onRequest = { server, stream, _ in
      var fields = response()
      fields.append("grpc-message", "not found: ")
      server.submitResponse(stream, fields, endStream: true)
    }
    var fields = request()
    fields.append("x-padded", " \t a b\t ")
    fields.append("x-blank", " \t")
    _ = pair.client.submitRequest(fields, endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.serverLog.contains { $0.hasSuffix(":authority=test x-padded=a b x-blank=] end") })
    #expect(pair.clientLog.contains("response 1 [:status=200 grpc-message=not found:] end"))
  }

  @Test(
    "Where a message's end or its way depends on the value, white space around it stays an error",
    arguments: [
      ("host", " a"), ("host", "a "), ("content-length", " 0"), ("content-length", "0 "), ("te", "trailers "),
    ] as [(StaticString, StaticString)])
  func paddedFraming(name: StaticString, value: StaticString) throws {
    let pair = SessionPair()
    var fields = request()
    fields.append(name, value)
    _ = pair.client.submitRequest(fields, endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.last == "closed 1 PROTOCOL_ERROR")
    #expect(!pair.serverLog.contains { $0.hasPrefix("request") })
  }

  @Test("Pseudo fields have no white space around their values", arguments: ["/ ", " /"])
  func paddedPath(path: String) throws {
    let pair = SessionPair()
    _ = pair.client.submitRequest(request(path: path), endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.last == "closed 1 PROTOCOL_ERROR")
  }

  @Test("An interim response is told from the final one")
  func interim() throws {
    let pair = SessionPair()
    pair.onRequest = { server, stream, _ in server.submitInformational(stream, response("100")) }
    pair.onEnd = { server, stream in server.submitResponse(stream, response("204"), endStream: true) }
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    try pair.pump()
    pair.client.end(stream)
    try pair.pump()
    #expect(pair.clientLog.contains("informational 1 [:status=100]"))
    #expect(pair.clientLog.contains("response 1 [:status=204] end"))
  }

  @Test("Of interim responses seven pass before the final one; an eighth ends the stream", arguments: [7, 8])
  func interimFlood(count: Int) throws {
    let pair = SessionPair()
    pair.onRequest = { server, stream, _ in
      for _ in 0..<count { server.submitInformational(stream, response("103")) }
      server.submitResponse(stream, response(), endStream: true)
    }
    _ = try #require(pair.client.submitRequest(request(), endStream: true, owner: nil))
    try pair.pump()
    #expect(pair.clientLog.contains { $0.hasPrefix("response 1") } == (count == 7))
    #expect(pair.clientLog.last == (count == 7 ? "closed 1 NO_ERROR" : "closed 1 ENHANCE_YOUR_CALM"))
  }

  @Test("A receiver that does not consume stops its sender at the window, and consuming starts it again")
  func flowControl() throws {
    var configuration = HTTP2Configuration()
    configuration.initialStreamWindow = 1000
    let pair = SessionPair(server: configuration)
    pair.consumes = false
    // The peer's SETTINGS first: until then a client may use the default window.
    try pair.pump()
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.write(stream, [UInt8](repeating: 7, count: 5000))
    pair.client.end(stream)
    try pair.pump()
    #expect(stream.pendingBytes == 4000)
    pair.consumes = true
    pair.server.consume(try #require(pair.serverStreams[1]), 1000)
    try pair.pump()
    #expect(stream.pendingBytes == 0)
    #expect(pair.serverLog.last == "end 1")
  }

  @Test("A stream closed with unconsumed bytes gives the connection its window back")
  func windowOfClosedStream() throws {
    var configuration = HTTP2Configuration()
    configuration.connectionWindow = 70_000
    let pair = SessionPair(server: configuration)
    pair.consumes = false
    try pair.pump()
    for _ in 0..<10 {
      let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
      pair.client.write(stream, [UInt8](repeating: 7, count: 60_000))
      try pair.pump()
      #expect(stream.pendingBytes == 0)
      pair.client.reset(stream, .cancel)
      try pair.pump()
    }
  }

  @Test("The drained event comes once, when the pending bytes fall below the mark")
  func drained() throws {
    var configuration = HTTP2Configuration()
    configuration.initialStreamWindow = 1000
    let pair = SessionPair(server: configuration)
    pair.consumes = false
    try pair.pump()
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.write(stream, [UInt8](repeating: 7, count: 5000))
    pair.client.notifyWhenPending(stream, below: 4001)
    try pair.pump()
    #expect(stream.pendingBytes == 4000)
    #expect(pair.clientLog.filter { $0 == "drained 1" }.count == 1)
    pair.consumes = true
    pair.server.consume(try #require(pair.serverStreams[1]), 1000)
    try pair.pump()
    #expect(stream.pendingBytes == 0)
    #expect(pair.clientLog.filter { $0 == "drained 1" }.count == 1)
  }

  @Test("A reset reaches the other side with its code")
  func reset() throws {
    let pair = SessionPair()
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    try pair.pump()
    pair.client.reset(stream, .cancel)
    try pair.pump()
    #expect(pair.serverLog.last == "closed 1 CANCEL")
    #expect(pair.clientLog.last == "closed 1 CANCEL")
  }

  @Test("A request that is reset before it left never reaches the server")
  func resetBeforeSending() throws {
    let pair = SessionPair()
    try pair.pump()
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.reset(stream, .cancel)
    try pair.pump()
    #expect(!pair.serverLog.contains { $0.hasPrefix("request") })
    #expect(pair.clientLog.last == "closed 1 CANCEL")
    #expect(pair.client.openStreamCount == 0)
  }

  @Test("The owner's object comes back with each event and is released after the last")
  func owner() throws {
    final class Owner {}
    let pair = SessionPair()
    pair.onEnd = { server, stream in server.submitResponse(stream, response(), endStream: true) }
    weak var released: Owner?
    do {
      let owner = Owner()
      released = owner
      let stream = try #require(pair.client.submitRequest(request(), endStream: true, owner: owner))
      #expect(stream.owner === owner)
    }
    #expect(released != nil)
    try pair.pump()
    #expect(released == nil)
  }

  @Test("A stream object that someone still holds is not used again")
  func recycling() throws {
    let pair = SessionPair()
    pair.onEnd = { server, stream in server.submitResponse(stream, response(), endStream: true) }
    let held = try #require(pair.client.submitRequest(request(), endStream: true, owner: nil))
    try pair.pump()
    #expect(held.isClosed)
    let next = try #require(pair.client.submitRequest(request(), endStream: true, owner: nil))
    #expect(next !== held)
    #expect(held.id == 1)
  }

  @Test("Requests above the peer's limit wait, and go out as streams close")
  func concurrency() throws {
    var configuration = HTTP2Configuration()
    configuration.maxConcurrentStreams = 2
    let pair = SessionPair(server: configuration)
    try pair.pump()
    #expect(pair.client.remoteMaxConcurrentStreams == 2)
    for _ in 0..<3 { _ = pair.client.submitRequest(request(), endStream: true, owner: nil) }
    #expect(!pair.client.canOpenStream)
    try pair.pump()
    #expect(pair.serverStreams.keys.sorted() == [1, 3])
    pair.server.submitResponse(try #require(pair.serverStreams[1]), response(), endStream: true)
    try pair.pump()
    #expect(pair.serverStreams.keys.sorted() == [1, 3, 5])
  }

  @Test("Graceful shutdown lets streams in flight finish and refuses new ones")
  func gracefulShutdown() throws {
    let pair = SessionPair()
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    pair.server.beginShutdown(now: pair.now)
    try pair.pump()
    #expect(pair.clientLog.filter { $0.hasPrefix("goaway") } == ["goaway 2147483647 NO_ERROR", "goaway 1 NO_ERROR"])
    #expect(!pair.serverLog.contains { $0.hasPrefix("pong") })
    #expect(pair.client.submitRequest(request(), endStream: true, owner: nil) == nil)
    #expect(!pair.server.isFinished)
    pair.server.submitResponse(try #require(pair.serverStreams[1]), response(), endStream: true)
    try pair.pump()
    #expect(pair.clientLog.contains("closed 1 NO_ERROR"))
    #expect(pair.server.isFinished)
  }

  /// It came first, and a stream of a client that had answered it could still be refused.
  @Test("The PING of a graceful shutdown follows the GOAWAY that it asks after")
  func shutdownOrder() throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(1))
    peer.server.beginShutdown(now: peer.now)
    try peer.send([])
    let types: [UInt8] = peer.frames.map(\.type)
    #expect(types.suffix(2) == [7, 6])
  }

  @Test("A peer that does not answer the shutdown's PING gets the last GOAWAY after a second")
  func shutdownWithoutPong() throws {
    let peer = try RawPeer()
    // Counted from now, not from when something last came.
    peer.server.beginShutdown(now: 3_600_000_000_000)
    peer.now = 3_600_000_000_000
    try peer.send(RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 1, count: 8)))
    peer.server.check(now: 3_601_000_000_000)
    try peer.send(RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 1, count: 8)))
    #expect(peer.frames.filter { $0.type == 7 }.count == 1)
    peer.server.check(now: 3_601_000_000_001)
    try peer.send(RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 1, count: 8)))
    #expect(peer.frames.filter { $0.type == 7 }.count == 2)
    #expect(peer.server.isFinished)
  }

  /// It was processed, and disowned by the GOAWAY that left later: the client repeated it.
  @Test("A stream that comes before the last GOAWAY has left, and is not covered by it, is refused and not processed")
  func refusedWhileGoAwayWaits() throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(5, RawFrame.post, endStream: false))
    peer.server.beginShutdown(now: peer.now)
    peer.server.check(now: 1_000_000_002)
    // Nothing leaves meanwhile.
    try RawFrame.headers(7).withUnsafeBytes { try peer.server.receive($0, now: 1_000_000_003) }
    peer.drain()
    peer.now = 1_000_000_004
    try peer.send(RawFrame.settings)
    #expect(peer.requests == [5])
    #expect(peer.frames.contains { $0.type == 3 && $0.stream == 7 && $0.code == 7 })
    #expect(peer.frames.filter { $0.type == 7 }.count == 2)
    #expect(peer.limits.isEmpty && peer.server.openStreamCount == 1)
  }

  /// The library only drops them, and the stream stayed open for ever.
  @Test("Fields that cannot be sent end their stream", arguments: [false, true])
  func fieldsTooLarge(areTrailers: Bool) throws {
    let pair = SessionPair()
    var large = areTrailers ? HTTP2FieldList() : response()
    large.append("x", String(repeating: "a", count: 70_000))
    pair.onEnd = { server, stream in
      server.submitResponse(stream, areTrailers ? response() : large, endStream: false)
      if areTrailers { server.end(stream, trailers: large) }
    }
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.last == "closed 1 INTERNAL_ERROR")
    #expect(pair.serverLog.last == "closed 1 INTERNAL_ERROR")
    #expect(pair.server.openStreamCount == 0)
  }

  @Test("What a section may be is what the peer announces, as far as the library sends it")
  func largestSection() throws {
    var configuration = HTTP2Configuration()
    configuration.maxHeaderListSize = 5000
    let pair = SessionPair(client: configuration)
    #expect(pair.server.largestSection == 8192)
    try pair.pump()
    #expect(pair.server.largestSection == 5000)
    #expect(pair.client.largestSection == 16 * 1024)
  }

  @Test("The largest section that is allowed leaves, the library's own limit included")
  func largestSectionLeaves() throws {
    var configuration = HTTP2Configuration()
    configuration.maxHeaderListSize = 100_000
    configuration.maxHeaderBlockBytes = 100_000
    let pair = SessionPair(client: configuration)
    try pair.pump()
    pair.onEnd = { server, stream in
      var fields = response()
      fields.append("x", String(repeating: "~", count: server.largestSection - fields.sectionSize - 33))
      server.submitResponse(stream, fields, endStream: true)
    }
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    try pair.pump()
    #expect(pair.clientLog.last == "closed 1 NO_ERROR")
  }

  @Test("A lost transport closes every stream; requests that never left count as not processed")
  func abandoned() throws {
    var configuration = HTTP2Configuration()
    configuration.maxConcurrentStreams = 1
    let pair = SessionPair(server: configuration)
    try pair.pump()
    for _ in 0..<2 { _ = pair.client.submitRequest(request(), endStream: true, owner: nil) }
    try pair.pump()
    pair.client.abandonStreams(.internalError)
    pair.drainClient()
    #expect(pair.clientLog.suffix(2) == ["closed 1 INTERNAL_ERROR", "closed 3 REFUSED_STREAM"])
    #expect(pair.client.openStreamCount == 0)
    #expect(pair.client.isFinished)
  }

  @Test("PING comes back with its payload")
  func ping() throws {
    let pair = SessionPair()
    pair.client.ping(42)
    try pair.pump()
    #expect(pair.clientLog.contains("pong 42"))
  }

  @Test("With a sink large DATA frames go there, in their place among the others, one by one while it has no room")
  func dataSink() throws {
    let (pair, sink) = (SessionPair(), FullSink())
    pair.server.dataSink = sink
    pair.onEnd = { server, stream in
      server.submitResponse(stream, response(), endStream: false)
      server.write(stream, [UInt8](repeating: 7, count: 40_000))
      var trailers = HTTP2FieldList()
      trailers.append("grpc-status", "0")
      server.end(stream, trailers: trailers)
    }
    _ = pair.client.submitRequest(request(), endStream: true, owner: nil)
    while let chunk = try pair.client.nextOutput() {
      try pair.server.receive(chunk, now: pair.now)
      pair.drainServer()
    }
    var frames: [Int] = []
    repeat {
      sink.took = 0
      while let chunk = try pair.server.nextOutput() { sink.bytes += chunk }
      frames.append(sink.took)
    } while sink.took > 0
    #expect(frames == [16_384, 16_384, 7_232, 0])
    try sink.bytes.withUnsafeBytes { try pair.client.receive($0, now: pair.now) }
    pair.drainClient()
    let data = ["data 1 16384", "data 1 16384", "data 1 7232"]
    #expect(
      pair.clientLog.dropFirst().dropLast()
        == ["response 1 [:status=200]"] + data + ["trailers 1 [grpc-status=0] end", "end 1"])
  }
}

/// Takes one frame a time.
private final class FullSink: HTTP2DataSink {
  var bytes: [UInt8] = []
  var took = 0

  func takeData(_ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer) -> Bool {
    bytes += header
    bytes += payload
    took = payload.count
    return false
  }
}
