import Testing

@testable import HTTP2Session

@Suite("Hostile peers")
struct HostilePeerTests {
  /// Sends `frame` until the server gives up or `count` were taken.
  private func flood(_ configuration: HTTP2Configuration, _ count: Int, _ frame: (Int) -> [UInt8]) throws -> (
    limits: [HTTP2Limit], sent: Int
  ) {
    let peer = try RawPeer(configuration)
    var sent = 0
    while sent < count, peer.limits.isEmpty {
      do { try peer.send(frame(sent)) } catch {}
      sent += 1
    }
    return (peer.limits, sent)
  }

  private func withBurst(_ path: WritableKeyPath<HTTP2Configuration, HTTP2Rate>, _ burst: Int) -> HTTP2Configuration {
    var configuration = HTTP2Configuration()
    configuration[keyPath: path] = HTTP2Rate(burst: burst, perSecond: 1)
    return configuration
  }

  @Test("Rapid reset: the reset after the burst ends the connection, the burst does not")
  func rapidReset() throws {
    let result = try flood(withBurst(\.peerResets, 20), 100) { index in
      let id = UInt32(index * 2 + 1)
      return RawFrame.headers(id) + RawFrame.frame(3, 0, stream: id, [0, 0, 0, 8])
    }
    #expect(result.limits == [.peerResets])
    #expect(result.sent == 21)
  }

  /// They were held against it like rapid resets.
  @Test("A peer that resets what was answered before it ended its side loses nothing, though a thousand times")
  func resetsOfAnswered() throws {
    let peer = try RawPeer()
    for number in 0..<1000 as Range<UInt32> {
      let id = number * 2 + 1
      try peer.send(RawFrame.headers(id, RawFrame.post, endStream: false))
      peer.server.submitResponse(try #require(peer.server.streams.first), response(), endStream: true)
      try peer.send([])  // has the answer leave
      try peer.send(RawFrame.frame(3, 0, stream: id, [0, 0, 0, 8]))
    }
    #expect(peer.limits.isEmpty && peer.requests.count == 1000)
    #expect(!peer.frames.contains { $0.type == 7 })
    #expect(peer.server.openStreamCount == 0)
  }

  @Test("A client takes resets of streams that its server has answered, as many as there are answers")
  func resetsOfAnsweredCalls() throws {
    let pair = SessionPair()
    pair.onRequest = { server, stream, _ in server.submitResponse(stream, response(), endStream: true) }
    for _ in 0..<1000 {
      _ = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
      try pair.pump()
    }
    #expect(pair.client.terminatedBy == nil)
    #expect(pair.clientLog.count { $0.hasPrefix("closed") } == 1000)
  }

  @Test("Resets of streams that are long closed are bounded too")
  func lateResets() throws {
    let result = try flood(withBurst(\.lateResets, 20), 100) { index in
      index == 0
        ? RawFrame.headers(1, RawFrame.post, endStream: false) + RawFrame.frame(3, 0, stream: 1, [0, 0, 0, 8])
        : RawFrame.frame(3, 0, stream: 1, [0, 0, 0, 8])
    }
    #expect(result.limits == [.peerResets])
    #expect(result.sent == 22)
  }

  /// Each of up to 64 of them kept what its largest section and body had taken, as long as the connection lived.
  @Test("Streams that wait for reuse hold little, whatever they carried")
  func pooledMemory() throws {
    let pair = SessionPair()
    pair.onEnd = { [unowned pair] server, stream in
      pair.serverStreams = [:]  // what somebody holds is not used again
      server.submitResponse(stream, response(), endStream: false)
      server.write(stream, [UInt8](repeating: 1, count: 20_000))
      server.end(stream)
    }
    for _ in 0..<64 {
      var fields = request()
      for number in 0..<90 {
        fields.append(name: "x-\(number)".utf8, value: String(repeating: "a", count: 130).utf8)
      }
      _ = try #require(pair.client.submitRequest(fields, endStream: true, owner: nil))
    }
    try pair.pump()
    #expect(pair.clientLog.count { $0.hasPrefix("closed") } == 64)
    let most = 64 * (2 * HTTP2Stream.keptBytes + HTTP2Stream.keptPending)
    #expect(pair.server.pooledBytes > 0 && pair.server.pooledBytes <= most)
    #expect(pair.client.pooledBytes <= most)
  }

  @Test("MadeYouReset: faults that make us reset streams are counted too")
  func madeYouReset() throws {
    let result = try flood(withBurst(\.provokedResets, 20), 100) { index in
      let id = UInt32(index * 2 + 1)
      // A window pushed past 2³¹−1 is a stream error (RFC 9113 section 6.9.1).
      return RawFrame.headers(id, RawFrame.post, endStream: false)
        + RawFrame.frame(8, 0, stream: id, [0x7f, 0xff, 0xff, 0xff])
    }
    #expect(result.limits == [.provokedResets])
    #expect(result.sent <= 22)
  }

  /// The connection only stood still until it was closed.
  @Test("MadeYouReset: who did it is told so")
  func madeYouResetIsTold() throws {
    let peer = try RawPeer(withBurst(\.provokedResets, 2))
    for number in 0..<3 as Range<UInt32> {
      let id = number * 2 + 1
      try peer.send(
        RawFrame.headers(id, RawFrame.post, endStream: false)
          + RawFrame.frame(8, 0, stream: id, [0x7f, 0xff, 0xff, 0xff]))
    }
    #expect(peer.limits == [.provokedResets])
    #expect(peer.frames.last?.type == 7 && peer.frames.last?.code == 0xb)
    #expect(peer.server.isFinished)
  }

  /// They counted as frames that were invalid, of which a client that has just come may not have so many.
  @Test("Streams above the limit of a peer that does not know it yet are refused, as many as some hundreds")
  func overshoot() throws {
    let peer = try RawPeer(acknowledges: false)
    for number in 0..<1000 as Range<UInt32> { try peer.send(RawFrame.headers(2 * number + 1)) }
    #expect(peer.limits.isEmpty && peer.requests.count == 128)
    #expect(peer.frames.count { $0.type == 3 && $0.code == 7 } == 872)
    for stream in peer.server.streams { peer.server.submitResponse(stream, response(), endStream: true) }
    try peer.send(RawFrame.frame(4, 1))
    try peer.send(RawFrame.headers(2001))
    #expect(peer.requests.last == 2001)
  }

  /// No bound at all had those that the owner refuses; and nobody was told of a limit that our own frames had met.
  @Test("A peer that goes on opening streams that are refused is sent away, and told why", arguments: [true, false])
  func refusedStreams(byOwner: Bool) throws {
    var configuration = withBurst(\.refusedStreams, 20)
    configuration.maxConcurrentStreams = byOwner ? 100 : 4
    let peer = try RawPeer(configuration, acknowledges: byOwner)
    var sent: UInt32 = 0
    while sent < 100, peer.limits.isEmpty {
      try peer.send(RawFrame.headers(2 * sent + 1))
      sent += 1
      guard byOwner else { continue }
      for stream in peer.server.streams { peer.server.reset(stream, .refusedStream) }
      try peer.send([])
    }
    #expect(peer.limits == [.refusedStreams])
    #expect(sent == (byOwner ? 21 : 25))
    #expect(peer.frames.last?.type == 7 && peer.frames.last?.code == 0xb)
    #expect(peer.server.isFinished)
  }

  @Test("PING flood")
  func pings() throws {
    let result = try flood(withBurst(\.pings, 20), 100) { _ in
      RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 0, count: 8))
    }
    #expect(result.limits == [.pings])
    #expect(result.sent == 21)
  }

  @Test("SETTINGS flood")
  func settings() throws {
    let result = try flood(withBurst(\.settings, 20), 100) { _ in RawFrame.settings }
    #expect(result.limits == [.settings])
    #expect(result.sent == 20)  // the handshake's own was the first
  }

  @Test("Empty DATA flood")
  func emptyData() throws {
    let result = try flood(withBurst(\.emptyData, 20), 100) { index in
      index == 0
        ? RawFrame.headers(1, RawFrame.post, endStream: false) + RawFrame.frame(0, 0, stream: 1)
        : RawFrame.frame(0, 0, stream: 1)
    }
    #expect(result.limits == [.emptyData])
    #expect(result.sent == 21)
  }

  @Test("WINDOW_UPDATE flood")
  func windowUpdates() throws {
    let result = try flood(withBurst(\.windowUpdates, 20), 100) { _ in RawFrame.frame(8, 0, stream: 0, [0, 0, 0, 1]) }
    #expect(result.limits == [.windowUpdates])
    #expect(result.sent == 21)
  }

  @Test("PRIORITY flood")
  func priorities() throws {
    let result = try flood(withBurst(\.priorities, 20), 100) { _ in
      RawFrame.frame(2, 0, stream: 1, [0, 0, 0, 3, 16])
    }
    #expect(result.limits == [.priorities])
    #expect(result.sent == 21)
  }

  @Test("Flood of unknown frames")
  func unknownFrames() throws {
    let result = try flood(withBurst(\.unknownFrames, 20), 100) { _ in RawFrame.frame(0xfa, 0, stream: 0, [1, 2, 3]) }
    #expect(result.limits == [.unknownFrames])
    #expect(result.sent == 21)
  }

  @Test("HEADERS and DATA that leave earn a PING each, and DATA two WINDOW_UPDATEs")
  func earned() throws {
    var configuration = withBurst(\.pings, 2)
    configuration.windowUpdates = HTTP2Rate(burst: 2, perSecond: 1)
    let peer = try RawPeer(configuration)
    let ping = RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 0, count: 8))
    let update = RawFrame.frame(8, 0, stream: 0, [0, 0, 0, 1])
    try peer.send(ping + ping + update + update + RawFrame.headers(1))
    let stream = try #require(peer.server.streams.first)
    peer.server.submitResponse(stream, response(), endStream: false)
    peer.server.write(stream, [1] as [UInt8])
    peer.server.end(stream)
    try peer.send([])  // has the answer leave
    try peer.send(ping + ping + update + update)
    #expect(peer.limits.isEmpty)
    try peer.send(ping)
    #expect(peer.limits == [.pings])
  }

  @Test("Answers that pile up unsent end the connection above their number", arguments: [10, 11])
  func outboundQueue(count: Int) throws {
    var configuration = HTTP2Configuration()
    configuration.maxOutboundQueue = 10
    let peer = try RawPeer(configuration)
    let ping = RawFrame.frame(6, 0, stream: 0, [UInt8](repeating: 0, count: 8))
    try peer.send((0..<count).flatMap { _ in ping })
    #expect(peer.limits == (count == 10 ? [] : [.outboundQueue]))
  }

  @Test("Sections that are too large are faults that make us reset streams too")
  func tooLargeSections() throws {
    let peer = try RawPeer(withBurst(\.provokedResets, 20))
    let section = RawFrame.get + (0..<97).flatMap { _ in [0x00, 0x01, 0x78, 0x01, 0x79] as [UInt8] }
    for number in 0..<20 as Range<UInt32> { try peer.send(RawFrame.headers(number * 2 + 1, section)) }
    #expect(peer.server.terminatedBy == nil)
    try peer.send(RawFrame.headers(41, section))
    #expect(peer.server.terminatedBy == .provokedResets)
  }

  @Test("A field section of the largest size passes, with 32 bytes a field; one byte more does not", arguments: [0, 1])
  func sectionSize(excess: Int) throws {
    var configuration = HTTP2Configuration()
    configuration.maxHeaderListSize = request().sectionSize - excess
    let pair = SessionPair(server: configuration)
    _ = try #require(pair.client.submitRequest(request(), endStream: true, owner: nil))
    try pair.pump()
    #expect(pair.serverStreams.isEmpty == (excess == 1))
  }

  @Test("A bucket refills with time, and frames that we send earn PINGs")
  func refill() {
    var bucket = TokenBucket(HTTP2Rate(burst: 2, perSecond: 10), now: 0)
    let taken = [0, 0, 0, 99_999_999, 100_000_000, 100_000_000].map { bucket.take(now: $0) }
    #expect(taken == [true, true, false, false, true, false])
    bucket.credit()
    let later = [100_000_000, 100_000_000, UInt64.max].map { bucket.take(now: $0) }
    #expect(later == [true, false, true])
  }

  @Test("CONTINUATION flood ends the connection and says so")
  func continuations() throws {
    var configuration = HTTP2Configuration()
    configuration.maxContinuations = 4
    let peer = try RawPeer(configuration)
    try peer.send(RawFrame.headers(1, endHeaders: false))
    #expect(throws: HTTP2FatalError.self) {
      for _ in 0..<6 { try peer.send(RawFrame.frame(9, 0, stream: 1, [])) }
    }
    peer.drain()
    #expect(peer.limits == [.continuations])
    #expect(peer.requests.isEmpty)
  }

  @Test("A field section is bounded in bytes on the wire")
  func blockBytes() throws {
    var configuration = HTTP2Configuration()
    configuration.maxHeaderBlockBytes = 100
    let peer = try RawPeer(configuration)
    try peer.send(RawFrame.headers(1, endHeaders: false))
    #expect(throws: HTTP2FatalError.self) {
      try peer.send(RawFrame.frame(9, 4, stream: 1, [UInt8](repeating: 0x84, count: 95)))
    }
    peer.drain()
    #expect(peer.limits == [.headerBlockBytes])
  }

  @Test("A compression bomb ends its stream at the list size, and the connection goes on")
  func compressionBomb() throws {
    let peer = try RawPeer()
    // One literal of 3,000 bytes enters the table, then each byte repeats it.
    let literal: [UInt8] =
      [0x40, 0x01, 0x78] + [0x7f, 0xb9, 0x16] + [UInt8](repeating: 0x61, count: 3000)
    try peer.send(RawFrame.headers(1, RawFrame.get + literal + [UInt8](repeating: 0xbe, count: 5000)))
    #expect(peer.limits == [.headerListSize])
    #expect(peer.requests.isEmpty)
    #expect(peer.frames.contains { $0.type == 3 && $0.stream == 1 && $0.code == 0xb })
    try peer.send(RawFrame.headers(3))
    #expect(peer.requests == [3])
  }

  @Test("A field section at the limits passes; one field more does not", arguments: [100, 101])
  func fieldCount(_ count: Int) throws {
    let peer = try RawPeer()
    let extra = (0..<(count - 4)).flatMap { _ in [0x00, 0x01, 0x78, 0x01, 0x79] as [UInt8] }
    try peer.send(RawFrame.headers(1, RawFrame.get + extra))
    #expect(peer.requests == (count == 100 ? [1] : []))
  }

  @Test("A stream id that was skipped is a protocol error; a closed one is not")
  func skippedStreamID() throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(5))
    #expect(peer.limits.isEmpty)
    try peer.send(RawFrame.headers(3))
    #expect(peer.limits == [.skippedStreamID])
    #expect(peer.requests == [5])
    #expect(peer.frames.contains { $0.type == 7 && $0.code == 1 })
  }

  @Test("The window of opened ids knows skipped ones and forgets old ones")
  func openedWindow() {
    var window = OpenedStreamWindow()
    window.open(1)
    window.open(7)
    #expect(window.wasSkipped(3) && window.wasSkipped(5))
    #expect(!window.wasSkipped(1) && !window.wasSkipped(7) && !window.wasSkipped(9))
    window.open(7 + 1022)
    #expect(window.wasSkipped(9) && !window.wasSkipped(7))
    window.open(5001)
    #expect(!window.wasSkipped(7) && window.wasSkipped(4999))
  }

  @Test("A stream is not finished because another one was that had its place in the window")
  func sharedPlaces() {
    var window = OpenedStreamWindow()
    window.open(1)
    window.finish(1)
    #expect(window.isFinished(1))
    for id in stride(from: 3, through: 1025, by: 2) as StrideThrough<Int32> { window.open(id) }
    #expect(!window.isFinished(1025))
    window.finish(1025)
    window.open(1101)
    window.open(2101)
    #expect(window.wasSkipped(2049) && !window.isFinished(2049))
  }

  @Test("HEADERS on a stream that the peer has reset end the connection; PRIORITY without a stream does too")
  func closedStream() throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(1, RawFrame.post, endStream: false))
    try peer.send(RawFrame.frame(3, 0, stream: 1, [0, 0, 0, 8]))
    #expect(peer.limits.isEmpty)
    try peer.send(RawFrame.headers(1))
    #expect(peer.limits == [.closedStream])
    #expect(peer.frames.contains { $0.type == 7 && $0.code == 5 })

    let other = try RawPeer()
    try other.send(RawFrame.frame(2, 0, stream: 0, [0, 0, 0, 0, 15]))
    #expect(other.limits == [.connectionPriority])
    #expect(other.frames.contains { $0.type == 7 && $0.code == 1 })
  }

  @Test("A peer that broke a limit and does not take its GOAWAY is abandoned after the farewell time")
  func abandoned() throws {
    var configuration = HTTP2Configuration()
    configuration.handshakeTimeout = 10
    configuration.farewellTimeout = 10
    let server = HTTP2Session(role: .server, configuration: configuration, now: 0)
    server.check(now: 11)
    #expect(server.terminatedBy == .handshakeTimeout && !server.isAbandoned)
    server.check(now: 12)
    server.check(now: 22)
    #expect(!server.isAbandoned)
    server.check(now: 23)
    #expect(server.isAbandoned)
  }

  @Test("A malformed field ends the stream instead of being dropped")
  func malformedField() throws {
    let peer = try RawPeer()
    // A value with a newline.
    try peer.send(RawFrame.headers(1, RawFrame.get + [0x00, 0x01, 0x78, 0x01, 0x0a]))
    #expect(peer.requests.isEmpty)
    #expect(peer.frames.contains { $0.type == 3 && $0.stream == 1 })
  }

  @Test("No preface in time, and no acknowledgement of SETTINGS in time")
  func timeouts() {
    let silent = HTTP2Session(role: .server, now: 0)
    silent.check(now: 9_000_000_000)
    #expect(silent.terminatedBy == nil)
    silent.check(now: 10_000_000_001)
    #expect(silent.terminatedBy == .handshakeTimeout)

    let mute = HTTP2Session(role: .server, now: 0)
    try? (RawFrame.preface + RawFrame.settings).withUnsafeBytes { try mute.receive($0, now: 5) }
    mute.check(now: 10_000_000_001)
    #expect(mute.terminatedBy == .settingsTimeout)
  }

  @Test("A field section that does not end in time")
  func headerTimeout() throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(1, endHeaders: false))
    peer.server.check(now: peer.now + 10_000_000_000)
    #expect(peer.server.terminatedBy == nil)
    peer.server.check(now: peer.now + 10_000_000_001)
    #expect(peer.server.terminatedBy == .headerTimeout)
  }

  /// The clock stopped at the header of the frame that ends the section, however slowly the rest came.
  @Test("A field section that begins its last frame and does not end it in time", arguments: [false, true])
  func trickledBlock(hasContinuation: Bool) throws {
    let peer = try RawPeer()
    peer.now = 1_000
    var last = RawFrame.headers(1)
    if hasContinuation {
      try peer.send(RawFrame.headers(1, Array(RawFrame.get.prefix(2)), endHeaders: false))
      last = RawFrame.frame(9, 4, stream: 1, Array(RawFrame.get.dropFirst(2)))
    }
    try peer.send(Array(last.dropLast(1)))
    peer.server.check(now: 10_000_001_000)
    #expect(peer.server.terminatedBy == nil)
    peer.now = 10_000_001_001
    peer.server.check(now: peer.now)
    #expect(peer.server.terminatedBy == .headerTimeout)
  }

  /// Where they went on in CONTINUATION frames, the connection was ended for them with all that was in flight.
  @Test("Sections that are complete, refused or passed over leave no clock behind", arguments: [false, true])
  func noClockLeft(hasContinuation: Bool) throws {
    func section(_ stream: UInt32, _ block: [UInt8], endStream: Bool = true) -> [UInt8] {
      guard hasContinuation else { return RawFrame.headers(stream, block, endStream: endStream) }
      return RawFrame.headers(stream, Array(block.dropLast()), endStream: endStream, endHeaders: false)
        + RawFrame.frame(9, 4, stream: stream, Array(block.suffix(1)))
    }
    var configuration = HTTP2Configuration()
    configuration.maxHeaderFields = 4
    let peer = try RawPeer(configuration)
    try peer.send(section(1, RawFrame.post, endStream: false))
    try peer.send(section(3, RawFrame.post, endStream: false))
    try peer.send(section(3, [0x00, 0x01, 0x78, 0x01, 0x0a]))  // malformed trailers
    try peer.send(section(5, RawFrame.get + [0x00, 0x01, 0x78, 0x01, 0x79]))  // a field too many
    peer.server.beginShutdown(now: peer.now)
    peer.server.check(now: 2_000_000_000)
    try peer.send(RawFrame.settings)  // has the last GOAWAY sent
    try peer.send(section(7, RawFrame.get))  // above the last one that is taken: passed over
    #expect(peer.frames.filter { $0.type == 7 }.count == 2)
    #expect(peer.limits == [.headerListSize])
    #expect(peer.requests == [1, 3])
    peer.server.check(now: 3_600_000_000_000)
    #expect(peer.server.terminatedBy == nil)
  }

  @Test("Data that waits on a closed window ends its stream in time, and only that")
  func windowStall() throws {
    let pair = SessionPair()
    try pair.pump()
    pair.consumes = false
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.write(stream, [UInt8](repeating: 1, count: 1_000_000))
    try pair.pump()
    #expect(stream.pendingBytes > 0)
    pair.client.check(now: 59_000_000_000)
    #expect(!stream.resetByOwner)
    pair.client.check(now: 61_000_000_000)
    try pair.pump()
    #expect(pair.clientLog.suffix(2) == ["limit window_stall", "closed 1 CANCEL"])
    #expect(pair.client.terminatedBy == nil)
  }

  @Test("A window opened by a byte at a time is as good as closed; one opened slowly is not", arguments: [1, 20])
  func trickledWindow(bytes: UInt8) throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(1))
    let stream = try #require(peer.server.streams.first)
    peer.server.submitResponse(stream, response(), endStream: false)
    peer.server.write(stream, [UInt8](repeating: 1, count: 100_000))
    for second in 1...120 as ClosedRange<UInt64> {
      peer.now = second * 1_000_000_000
      try peer.send([0, 1].flatMap { RawFrame.frame(8, stream: $0, [0, 0, 0, bytes]) })
      peer.server.check(now: peer.now)
    }
    peer.drain()
    #expect(peer.limits == (bytes == 1 ? [.windowStall] : []))
    #expect(peer.server.terminatedBy == nil)
  }

  @Test("Of the streams without a window the newest of the larger is reset first, and one that moves is not")
  func resetStalled() throws {
    let peer = try RawPeer()
    // INITIAL_WINDOW_SIZE 0, but for the first stream.
    try peer.send(RawFrame.headers(1))
    try peer.send(RawFrame.frame(4, 0, stream: 0, [0, 4, 0, 0, 0, 0]))
    for id in [3, 5, 7] as [UInt32] { try peer.send(RawFrame.headers(id)) }
    try peer.send(RawFrame.frame(8, 0, stream: 1, [0, 1, 0, 0]))
    for (stream, size) in zip(peer.server.streams.sorted { $0.id < $1.id }, [100_000, 9000, 9000, 100]) {
      peer.server.submitResponse(stream, response(), endStream: false)
      peer.server.write(stream, [UInt8](repeating: 1, count: size))
    }
    try peer.send([])
    let waiting = peer.server.pendingBytes
    #expect(waiting > 18_100 && waiting < 100_000)
    func reset() throws -> [Int32] {
      peer.server.resetStalled(downTo: 0)
      try peer.send([])
      return peer.frames.filter { $0.type == 3 }.map(\.stream)
    }
    #expect(try reset() == [5, 3, 7])
    // What has moved once gets time to move again.
    peer.now = 5_000_000_001
    try peer.send(RawFrame.settings)
    #expect(try reset() == [5, 3, 7])
    peer.now = 5_000_000_002
    try peer.send(RawFrame.settings)
    #expect(try reset() == [5, 3, 7, 1])
    #expect(peer.server.pendingBytes == 0 && peer.limits == Array(repeating: .responseBytes, count: 4))
  }

  /// What had left was forgotten when the buffer was empty, or moved up for what followed.
  @Test("A stream that has moved is not without a window when that is used up", arguments: [0, 30_000])
  func usedUpWindow(more: Int) throws {
    let peer = try RawPeer()
    try peer.send(RawFrame.headers(1))
    let stream = try #require(peer.server.streams.first)
    peer.server.submitResponse(stream, response(), endStream: false)
    peer.server.write(stream, [UInt8](repeating: 1, count: 65_535 + more))
    try peer.send([])
    #expect(stream.pendingBytes == more && peer.server.sendWindow(of: stream) == 0)
    peer.server.write(stream, [UInt8](repeating: 1, count: 100_000))
    peer.server.resetStalled(downTo: 0)
    #expect(stream.pendingBytes == 100_000 + more)
  }

  @Test("What waits is bounded; at the bound nothing is given up, and above it what has no window")
  func pendingBound() throws {
    var configuration = HTTP2Configuration()
    configuration.maxPendingBytes = 10_000
    let peer = try RawPeer(configuration)
    try peer.send(RawFrame.frame(4, 0, stream: 0, [0, 4, 0, 0, 0, 0]))
    for id in [1, 3] as [UInt32] { try peer.send(RawFrame.headers(id)) }
    for (stream, size) in zip(peer.server.streams.sorted { $0.id < $1.id }, [4000, 6000]) {
      peer.server.submitResponse(stream, response(), endStream: false)
      peer.server.write(stream, [UInt8](repeating: 1, count: size))
    }
    try peer.send([])
    #expect(peer.server.pendingBytes == 10_000 && peer.limits.isEmpty)
    peer.server.write(try #require(peer.server.streams.first { $0.id == 1 }), [1])
    try peer.send([])
    #expect(peer.server.pendingBytes == 4001 && peer.limits == [.responseBytes])
  }

  @Test("Without that limit data waits as long as the window is closed")
  func noWindowStall() throws {
    var configuration = HTTP2Configuration()
    configuration.windowStallTimeout = nil
    let pair = SessionPair(client: configuration)
    try pair.pump()
    pair.consumes = false
    let stream = try #require(pair.client.submitRequest(request(), endStream: false, owner: nil))
    pair.client.write(stream, [UInt8](repeating: 1, count: 1_000_000))
    try pair.pump()
    pair.client.check(now: 3_600_000_000_000)
    #expect(stream.pendingBytes > 0 && !stream.resetByOwner)
  }

  @Test("Garbage instead of the preface is fatal")
  func garbage() {
    let server = HTTP2Session(role: .server, now: 0)
    #expect(throws: HTTP2FatalError.self) {
      try Array("GET / HTTP/1.1\r\n\r\n".utf8).withUnsafeBytes { try server.receive($0, now: 1) }
    }
    #expect(server.isFinished)
  }

  /// Found by the fuzzer: DATA behind the frame that broke a limit was told of, the HEADERS before it were not.
  @Test("A connection that a limit has ended tells of no body whose head it did not tell of")
  func noBodyWithoutHead() throws {
    let client = HTTP2Session(role: .client, now: 1)
    _ = try #require(client.submitRequest(request(), endStream: true, owner: nil))
    while try client.nextOutput() != nil {}
    let flood = (0..<60).flatMap { _ in RawFrame.settings }
    let answer = RawFrame.headers(1, [0x88], endStream: false) + RawFrame.frame(0, 1, stream: 1, [7, 7])
    try (flood + answer).withUnsafeBytes { try client.receive($0, now: 2) }
    var events: [String] = []
    var isClosed = false
    while let event = client.nextEvent() {
      switch event {
      case .closed: isClosed = true
      case .headers: events.append("headers")
      case .data: events.append("data")
      case .end: events.append("end")
      case .limit(let limit): events.append(limit.rawValue)
      default: break
      }
    }
    #expect(events == [HTTP2Limit.settings.rawValue])
    client.abandonStreams(.cancel)
    while let event = client.nextEvent() { if case .closed = event { isClosed = true } }
    #expect(isClosed)
  }
}
