import EventLoop
import HTTP2Session
import Transport

/// A client's connection to the server.
final class ServerConnection: RPCConnection {
  private let server: RPCServer
  @exclusivity(unchecked) private(set) var calls: [ServerCall] = []
  private var isDraining = false

  init(_ transport: Connection, server: RPCServer) {
    self.server = server
    super.init(transport: transport, role: .server, configuration: server.sessionConfiguration)
  }

  var isIdle: Bool { calls.isEmpty }

  /// GOAWAY in two steps; calls in flight go on, the transport closes after the last.
  func drain() {
    guard !isDraining else { return }
    isDraining = true
    session.beginShutdown()
    setNeedsFlush()
    for call in calls where call.endsOnDrain {
      call.cancel(RPCError(.unavailable, "the server is about to stop"))
    }
  }

  func cancelCalls() {
    for call in calls { call.cancel(RPCError(.unavailable, "the server stops")) }
  }

  override func opened(_ stream: HTTP2Stream, _ block: HTTP2HeaderBlock) {
    // Streams that were reset make room for others, handlers that do not heed their cancellation make none. Twice the
    // limit: a client whose calls time out all at once may replace them.
    guard calls.count < 2 * server.configuration.maxConcurrentStreams else {
      limitExceeded(.runningHandlers)
      return reset(stream, .refusedStream)
    }
    let call = server.makeCall()
    call.place = calls.count
    calls.append(call)
    stream.owner = call
    call.begin(self, stream, block)
  }

  /// Called when the stream is gone and when the handler has returned; the later of the two gives the call back.
  override func released(_ call: CallStream) {
    let call = unsafeDowncast(call, to: ServerCall.self)
    guard call.isReleasable, call.place >= 0 else { return }
    let last = calls.removeLast()
    if last !== call {
      calls[call.place] = last
      last.place = call.place
    }
    call.place = -1
    server.recycle(call)
  }

  override func limitExceeded(_ limit: HTTP2Limit) { server.limitExceeded(limit) }

  override func ended(_ error: (any Error)?) {
    if error as? TransportError == .handshakeTimedOut { limitExceeded(.handshakeTimeout) }
    server.connectionEnded(self)
  }
}
