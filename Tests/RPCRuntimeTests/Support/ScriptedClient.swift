import EventLoop
import HTTP2Session
import Transport
import WireCodec
import TestSupport

@testable import RPCRuntime

/// An HTTP/2 client that sends what a test says, also what no honest client would.
final class ScriptedClient: ConnectionDelegate {
  private(set) var transport: Connection!
  let session: HTTP2Session
  /// The server has taken what was sent first.
  private(set) var isReady = false
  private(set) var isClosed = false
  /// By stream: the code that it was closed with.
  private(set) var ends: [Int32: HTTP2ErrorCode] = [:]
  /// By stream: `grpc-status`.
  private(set) var statuses: [Int32: String] = [:]

  init(to address: SocketAddress, on reactor: Reactor) throws {
    session = HTTP2Session(role: .client, configuration: HTTP2Configuration(), now: reactor.nanoseconds)
    transport = try Connection.connect(to: address, on: reactor, delegate: self)
  }

  /// A request of one message, which is its end.
  @discardableResult
  func call(
    _ method: MethodDescriptor, _ message: some WireMessage, _ more: [(StaticString, String)] = []
  ) throws -> HTTP2Stream {
    var fields = HTTP2FieldList()
    for (name, value) in [
      (":method", "POST"), (":scheme", "http"), (":path", method.path), (":authority", "test"), ("te", "trailers"),
      ("content-type", "application/grpc"),
    ] as [(StaticString, String)] + more {
      fields.append(name, value)
    }
    guard let stream = session.submitRequest(fields, endStream: false, owner: nil) else {
      throw RPCError(.unavailable, "the connection takes no more calls")
    }
    let bytes = message.wireBytes()
    session.write(stream, [0, 0, 0, 0, UInt8(bytes.count)] + bytes)
    session.end(stream)
    transport.setNeedsFlush()
    return stream
  }

  func reset(_ stream: HTTP2Stream) {
    session.reset(stream, .cancel)
    transport.setNeedsFlush()
  }

  func connectionReady() { transport.setNeedsFlush() }

  func received(_ bytes: UnsafeRawBufferPointer) {
    try? session.receive(bytes, now: transport.reactor.nanoseconds)
    deliver()
    transport.setNeedsFlush()
  }

  func willFlush() {
    while let chunk = try? session.nextOutput() { transport.write(chunk) }
    deliver()
    if session.isFinished { transport.closeAfterFlush() }
  }

  private func deliver() {
    while let event = session.nextEvent() {
      switch event {
      case .remoteSettings: isReady = true
      case .headers(let stream, let block):
        if let status = block.first("grpc-status") { statuses[stream.id] = String(decoding: status, as: UTF8.self) }
      case .data(let stream, let bytes): session.consume(stream, bytes.count)
      case .closed(let stream, let code): ends[stream.id] = code
      default: break
      }
    }
  }

  func readClosed() { transport.close() }
  func closed(_ error: (any Error)?) { isClosed = true }
}

/// A server and a client of a test's own on one loop.
func withScriptedClient(
  server configuration: ServerConfiguration = ServerConfiguration(), register: @Sendable (RPCServer) -> Void,
  _ body: @Sendable (ScriptedClient, RPCServer, Reactor) async throws -> Void
) async throws {
  try await onLoop { reactor in
    let server = RPCServer(on: reactor, configuration: configuration)
    register(server)
    let client = try ScriptedClient(to: try await server.listen(on: "127.0.0.1:0"), on: reactor)
    let result: Result<Void, any Error>
    do {
      try await reactor.wait { client.isReady }
      try await body(client, server, reactor)
      result = .success(())
    } catch {
      result = .failure(error)
    }
    client.transport.close()
    await server.drain(within: .seconds(2))
    try result.get()
  }
}
