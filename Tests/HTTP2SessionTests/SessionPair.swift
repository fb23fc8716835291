@testable import HTTP2Session

/// A client and a server session back to back, without a network. Events are written down as short lines.
final class SessionPair {
  let client: HTTP2Session
  let server: HTTP2Session
  var now: UInt64 = 1
  var clientLog: [String] = []
  var serverLog: [String] = []
  var serverStreams: [Int32: HTTP2Stream] = [:]
  /// Body bytes arrive but are only given back by hand when this is false.
  var consumes = true
  var onRequest: (HTTP2Session, HTTP2Stream, HTTP2HeaderBlock) -> Void = { _, _, _ in }
  var onEnd: (HTTP2Session, HTTP2Stream) -> Void = { _, _ in }

  init(
    client: HTTP2Configuration = HTTP2Configuration(), server: HTTP2Configuration = HTTP2Configuration()
  ) {
    self.client = HTTP2Session(role: .client, configuration: client, now: 1)
    self.server = HTTP2Session(role: .server, configuration: server, now: 1)
  }

  /// Moves bytes both ways until both are silent; returns the size of each chunk that the server wrote.
  func pump() throws {
    var moved = true
    while moved {
      moved = false
      while let chunk = try client.nextOutput() {
        moved = true
        try server.receive(chunk, now: now)
        drainServer()
      }
      drainClient()
      while let chunk = try server.nextOutput() {
        moved = true
        try client.receive(chunk, now: now)
        drainClient()
      }
      drainServer()
    }
  }

  func drainServer() {
    while let event = server.nextEvent() {
      serverLog.append(describe(event))
      switch event {
      case .headers(let stream, let block) where block.kind == .request:
        serverStreams[stream.id] = stream
        onRequest(server, stream, block)
      case .data(let stream, let bytes):
        if consumes { server.consume(stream, bytes.count) }
      case .end(let stream): onEnd(server, stream)
      default: break
      }
    }
  }

  func drainClient() {
    while let event = client.nextEvent() {
      clientLog.append(describe(event))
      if case .data(let stream, let bytes) = event, consumes { client.consume(stream, bytes.count) }
    }
  }

  private func describe(_ event: HTTP2Event) -> String {
    switch event {
    case .headers(let stream, let block):
      let fields = (0..<block.count).map { "\(string(block.name($0)))=\(string(block.value($0)))" }
      return "\(block.kind) \(stream.id) [\(fields.joined(separator: " "))]\(block.endStream ? " end" : "")"
    case .data(let stream, let bytes): return "data \(stream.id) \(bytes.count)"
    case .end(let stream): return "end \(stream.id)"
    case .drained(let stream): return "drained \(stream.id)"
    case .closed(let stream, let code): return "closed \(stream.id) \(code)"
    case .goAway(let last, let code, _): return "goaway \(last) \(code)"
    case .remoteSettings: return "settings"
    case .ping: return "ping"
    case .pong(let payload): return "pong \(payload)"
    case .limit(let limit): return "limit \(limit.rawValue)"
    }
  }
}

func string(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

func request(path: String = "/", method: StaticString = "POST") -> HTTP2FieldList {
  var fields = HTTP2FieldList()
  fields.append(":method", method)
  fields.append(":scheme", "http")
  fields.append(":path", path)
  fields.append(":authority", "test")
  return fields
}

func response(_ status: StaticString = "200") -> HTTP2FieldList {
  var fields = HTTP2FieldList()
  fields.append(":status", status)
  return fields
}

/// Hand-written frames, for peers that nghttp2 would not play.
enum RawFrame {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(_ type: UInt8, _ flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let length = payload.count
    return [
      UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags, UInt8(stream >> 24),
      UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255),
    ] + payload
  }

  static let settings = frame(4)
  /// GET http / with an authority, by static table entries and one literal.
  static let get: [UInt8] = [0x82, 0x86, 0x84, 0x41, 0x01, 0x61]
  static let post: [UInt8] = [0x83, 0x86, 0x84, 0x41, 0x01, 0x61]

  static func headers(_ stream: UInt32, _ block: [UInt8] = get, endStream: Bool = true, endHeaders: Bool = true)
    -> [UInt8]
  {
    frame(1, (endStream ? 1 : 0) | (endHeaders ? 4 : 0), stream: stream, block)
  }
}

/// A server session fed with raw bytes.
final class RawPeer {
  let server: HTTP2Session
  var now: UInt64 = 1
  var limits: [HTTP2Limit] = []
  var requests: [Int32] = []
  var closed: [Int32] = []
  var output: [UInt8] = []

  init(_ configuration: HTTP2Configuration = HTTP2Configuration(), acknowledges: Bool = true) throws {
    server = HTTP2Session(role: .server, configuration: configuration, now: 1)
    try send(RawFrame.preface + RawFrame.settings + (acknowledges ? RawFrame.frame(4, 1) : []))
  }

  func send(_ bytes: [UInt8]) throws {
    defer { drain() }
    try bytes.withUnsafeBytes { try server.receive($0, now: now) }
    while let chunk = try server.nextOutput() { output.append(contentsOf: chunk) }
  }

  func drain() {
    while let event = server.nextEvent() {
      switch event {
      case .limit(let limit): limits.append(limit)
      case .headers(let stream, _): requests.append(stream.id)
      case .closed(let stream, _): closed.append(stream.id)
      case .data(let stream, let bytes): server.consume(stream, bytes.count)
      default: break
      }
    }
  }

  /// Types and last payload words of the frames that the server has written.
  var frames: [(type: UInt8, stream: Int32, code: UInt32)] {
    var frames: [(UInt8, Int32, UInt32)] = []
    var rest = output[...]
    while rest.count >= 9 {
      let header = Array(rest.prefix(9))
      let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
      let payload = Array(rest.dropFirst(9).prefix(length))
      let code = payload.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      let stream = header[5...8].reduce(Int32(0)) { $0 << 8 | Int32($1) }
      frames.append((header[3], stream, code))
      rest = rest.dropFirst(9 + length)
    }
    return frames
  }
}
