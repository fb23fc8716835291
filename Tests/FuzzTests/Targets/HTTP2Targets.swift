import HTTP2Session

extension FuzzTarget {
  /// A client's bytes at a server session that answers.
  static let http2Server = FuzzTarget(name: "http2-server") { bytes in
    try PeerScript(role: .server, FuzzInput(bytes)).run()
  }

  /// A server's bytes at a client session with requests under way.
  static let http2Client = FuzzTarget(name: "http2-client") { bytes in
    try PeerScript(role: .client, FuzzInput(bytes)).run()
  }
}

/// A peer that plays what the input says: whole frames with contents of the input, so that most of them get past the
/// framing, or (odd first byte) the raw bytes.
private final class PeerScript {
  private enum Phase { case open, ended, closed }

  private let session: HTTP2Session
  private var input: FuzzInput
  private var outgoing: [UInt8] = []
  private var lastFrame: [UInt8] = []
  private var now: UInt64 = 1
  private var phases: [Int32: Phase] = [:]
  private var held: [HTTP2Stream] = []
  private var reaction: UInt8 = 0

  init(role: HTTP2Session.Role, _ input: FuzzInput) {
    session = HTTP2Session(role: role, now: 1)
    self.input = input
  }

  func run() throws {
    let mode = input.byte()
    reaction = mode >> 1
    if session.role == .server {
      if mode & 1 == 0 { outgoing += Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) }
    } else {
      for index in 0..<3 {
        guard let stream = session.submitRequest(Self.request, endStream: index == 0, owner: nil) else { continue }
        if index > 0 { session.write(stream, [UInt8](repeating: 7, count: 40_000 * index)) }
        held.append(stream)
      }
    }
    if mode & 1 == 1 {
      outgoing += input.bytes(.max)
    } else {
      frame(4, 0, 0, [])
      frame(4, 1, 0, [])
      while !input.isEmpty { step() }
    }
    try deliver()
    session.abandonStreams(.cancel)
    try serve()
    try require(session.openStreamCount == 0, "streams outlive their session")
    try require(phases.values.allSatisfy { $0 == .closed }, "a stream was begun and never closed")
  }

  // MARK: The peer

  private func step() {
    let operation = input.byte()
    let stream = Self.streams[Int(operation >> 4)]
    switch operation & 15 {
    case 0: frame(1, 4 | input.byte() & 1, stream, goodBlock + Self.literal(input.block()))
    case 1: frame(1, input.byte(), stream, input.block())
    case 2: frame(9, input.byte() & 4, stream, input.block())
    case 3: frame(0, input.byte() & 9, stream, input.block())
    case 4: frame(3, 0, stream, [0, 0, 0, input.byte()])
    case 5: frame(4, 0, 0, [0, input.byte()] + input.bytes(4))
    case 6: frame(6, input.byte() & 1, 0, [UInt8](repeating: input.byte(), count: 8))
    case 7: frame(7, 0, 0, [0, 0, 0, UInt8(stream & 127), 0, 0, 0, input.byte()])
    case 8: frame(8, 0, input.byte() & 1 == 0 ? stream : 0, input.bytes(4))
    case 9: frame(2, 0, stream, input.bytes(5))
    case 10: frame(input.byte(), input.byte(), stream, input.block())
    case 11: now += UInt64(input.byte()) * 100_000_000
    case 12: try? deliver()
    case 13: act(input.byte())
    case 14: for _ in 0..<(input.byte() & 63) { outgoing += lastFrame }
    default: outgoing += input.block()
    }
  }

  /// Method, scheme, path and authority of a request, or the status of an answer, by HPACK's static table.
  private var goodBlock: [UInt8] { session.role == .server ? [0x83, 0x86, 0x84, 0x41, 0x01, 0x61] : [0x88] }

  private static let streams: [UInt32] = [1, 1, 1, 3, 3, 5, 7, 9, 11, 13, 2, 4, 0, 255, 0x7fff_ffff, 0x8000_0001]

  /// A literal field that enters the table: `x-…: …`, cut in the middle.
  private static func literal(_ bytes: [UInt8]) -> [UInt8] {
    guard !bytes.isEmpty else { return [] }
    let name = bytes.prefix(bytes.count / 2).map { $0 & 15 | 0x60 }
    let value = bytes.suffix(bytes.count - name.count)
    return [0x40, UInt8((name.count + 2) & 127)] + "x-".utf8 + name.prefix(100) + [UInt8(value.count & 127)]
      + value.prefix(value.count & 127)
  }

  private func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) {
    let count = payload.count
    lastFrame = [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
    for shift: UInt32 in [24, 16, 8, 0] { lastFrame.append(UInt8(stream >> shift & 255)) }
    lastFrame += payload
    outgoing += lastFrame
  }

  // MARK: The session's owner

  private func deliver() throws {
    let bytes = outgoing
    outgoing = []
    do {
      try bytes.withUnsafeBytes { raw in
        try session.receive(raw, now: now)
        try serve()
      }
      session.check(now: now)
      try serve()
      while try session.nextOutput() != nil { try serve() }
      try serve()
    } catch is HTTP2FatalError {
      try require(session.isFinished, "a session that failed goes on")
      try serve()
    }
  }

  private func serve() throws {
    while let event = session.nextEvent() {
      switch event {
      case .headers(let stream, let block): try began(stream, block)
      case .data(let stream, let bytes):
        try require(phases[stream.id] == .open, "data on stream \(stream.id), which is not open")
        if reaction & 1 == 0 { session.consume(stream, bytes.count) }
      case .end(let stream):
        try require(phases[stream.id] == .open, "stream \(stream.id) ends, which is not open")
        phases[stream.id] = .ended
      case .closed(let stream, _):
        try require(phases[stream.id] != .closed, "stream \(stream.id) is closed twice")
        phases[stream.id] = .closed
        // On a stream that is gone nothing happens, however late.
        session.write(stream, [1])
        session.consume(stream, 10)
        session.reset(stream, .cancel)
        session.end(stream)
      default: break
      }
    }
  }

  private func began(_ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) throws {
    var size = 0
    for index in 0..<block.count { size += block.name(index).count + block.value(index).count + 32 }
    try require(size <= session.configuration.maxHeaderListSize, "a field section of \(size) bytes")
    try require(block.count <= session.configuration.maxHeaderFields, "\(block.count) fields")
    let phase = phases[stream.id]
    let isFirst = phase == nil
    try require(phase == nil || phase == .open, "fields on stream \(stream.id), which is not open")
    phases[stream.id] = .open
    guard session.role == .server, isFirst else { return }
    try require(block.kind == .request, "a stream begins with \(block.kind)")
    if reaction & 2 == 0 { held.append(stream) }
    switch reaction >> 2 & 3 {
    case 0: session.submitResponse(stream, Self.response, endStream: true)
    case 1:
      session.submitResponse(stream, Self.response, endStream: false)
      session.write(stream, [UInt8](repeating: 1, count: 70_000))
      session.end(stream)
    case 2:
      session.submitResponse(stream, Self.response, endStream: false)
      session.notifyWhenPending(stream, below: 10)
      session.end(stream, trailers: Self.response)
    default: break
    }
  }

  private func act(_ choice: UInt8) {
    guard !held.isEmpty else { return }
    let stream = held[Int(choice >> 4) % held.count]
    switch choice & 15 {
    case 0: session.write(stream, [UInt8](repeating: 2, count: 300))
    case 1: session.end(stream)
    case 2: session.reset(stream, .cancel)
    case 3: session.consume(stream, 1000)
    case 4: session.beginShutdown(now: now)
    case 5: session.ping(7)
    case 7: session.terminate(.noError)
    case 8: held.removeAll()
    case 9 where session.role == .server: session.submitResponse(stream, Self.response, endStream: false)
    case 10: session.end(stream, trailers: Self.response)
    case 11 where session.role == .client:
      if let more = session.submitRequest(Self.request, endStream: true, owner: nil) { held.append(more) }
    default: reaction = choice
    }
  }

  private static var request: HTTP2FieldList {
    var fields = HTTP2FieldList()
    fields.append(":method", "POST")
    fields.append(":scheme", "http")
    fields.append(":path", "/")
    fields.append(":authority", "a")
    return fields
  }

  private static var response: HTTP2FieldList {
    var fields = HTTP2FieldList()
    fields.append(":status", "200")
    return fields
  }
}
