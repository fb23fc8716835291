import EventLoop
import HTTP2Session
import RPCRuntime
import Transport
import WireCodec

/// An HTTP/2 server that does to each request what a test says, also what no honest server would do.
final class ScriptedServer {
  let address: SocketAddress
  private let listener: Listener
  private(set) var peers: [Peer] = []
  /// Sees each connection before its first byte.
  var onConnect: (Peer) -> Void = { _ in }

  init(
    on reactor: Reactor, _ configuration: HTTP2Configuration = HTTP2Configuration(),
    onRequest: @escaping (Peer, HTTP2Stream) -> Void
  ) throws {
    var taken: (Connection) -> Void = { _ in }
    listener = try Listener(on: reactor, address: try SocketAddress(numericHost: "127.0.0.1", port: 0)) { taken($0) }
    address = listener.address
    taken = { [weak self] transport in
      let peer = Peer(transport, configuration, onRequest)
      transport.delegate = peer
      self?.peers.append(peer)
      self?.onConnect(peer)
    }
  }

  func stop() {
    listener.close()
    for peer in peers { peer.transport.close() }
  }

  /// One connection of it.
  final class Peer: ConnectionDelegate {
    let transport: Connection
    let session: HTTP2Session
    private let onRequest: (Peer, HTTP2Stream) -> Void
    private(set) var requests = 0
    /// The fields of the last request.
    private(set) var block: HTTP2HeaderBlock?
    var onPing: () -> Void = {}
    var givesWindow = true
    /// Takes bytes and says nothing more: a connection into the void.
    var isSilent = false
    private(set) var isClosed = false

    init(
      _ transport: Connection, _ configuration: HTTP2Configuration,
      _ onRequest: @escaping (Peer, HTTP2Stream) -> Void
    ) {
      self.transport = transport
      self.onRequest = onRequest
      session = HTTP2Session(
        role: .server, configuration: configuration, now: UInt64(transport.reactor.now.nanoseconds))
    }

    /// Answers with headers and one message, and leaves the stream open.
    func begin(_ stream: HTTP2Stream, with message: some WireMessage, _ more: [(StaticString, String)] = []) {
      var fields = HTTP2FieldList()
      fields.append(":status", "200")
      fields.append("content-type", "application/grpc")
      for (name, value) in more { fields.append(name, value) }
      session.submitResponse(stream, fields, endStream: false)
      let bytes = message.wireBytes()
      session.write(stream, [0, 0, 0, 0, UInt8(bytes.count)] + bytes)
    }

    func end(_ stream: HTTP2Stream, _ status: StatusCode = .ok, _ more: [(StaticString, String)] = []) {
      var trailers = HTTP2FieldList()
      trailers.append("grpc-status", "\(status.rawValue)")
      for (name, value) in more { trailers.append(name, value) }
      session.end(stream, trailers: trailers)
    }

    /// Answers with a status alone.
    func fail(_ stream: HTTP2Stream, _ status: StatusCode, _ more: [(StaticString, String)] = []) {
      var fields = HTTP2FieldList()
      fields.append(":status", "200")
      fields.append("content-type", "application/grpc")
      fields.append("grpc-status", "\(status.rawValue)")
      for (name, value) in more { fields.append(name, value) }
      session.submitResponse(stream, fields, endStream: true)
    }

    /// GOAWAY that knows of no stream.
    func goAwayKnowingNothing() {
      transport.write([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    func connectionReady() { transport.setNeedsFlush() }

    func received(_ bytes: UnsafeRawBufferPointer) {
      guard !isSilent else { return }
      try? session.receive(bytes, now: UInt64(transport.reactor.now.nanoseconds))
      while let event = session.nextEvent() {
        switch event {
        case .headers(let stream, let block) where block.kind == .request:
          requests += 1
          self.block = block
          onRequest(self, stream)
        case .data(let stream, let bytes): if givesWindow { session.consume(stream, bytes.count) }
        case .ping: onPing()
        default: break
        }
      }
      transport.setNeedsFlush()
    }

    func willFlush() {
      guard !isSilent else { return }
      while let chunk = try? session.nextOutput() { transport.write(chunk) }
      while session.nextEvent() != nil {}
    }

    func readClosed() { transport.close() }
    func closed(_ error: (any Error)?) { isClosed = true }
  }
}
