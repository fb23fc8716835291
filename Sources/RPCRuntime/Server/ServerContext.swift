public import EventLoop
public import TLSSession
import Transport

/// A call as its handler sees it, beside the messages. Stays on its loop. To a task that outlives the handler the call is
/// over: its writer throws CANCELLED, its reader has no message, and what is set here goes nowhere.
public struct ServerContext {
  let call: ServerCall

  /// The method that is called.
  public var method: MethodDescriptor { call.method.descriptor }

  /// The loop that the handler runs on.
  public var reactor: Reactor { call.reactor }

  /// The request's metadata, without what is the protocol's own.
  public var metadata: Metadata { call.requestMetadata }

  /// When the caller stops waiting; the handler's task is cancelled then. Nil when it gave no time.
  public var deadline: Instant? { call.deadline }

  /// What is left until the deadline; never negative.
  public var timeLeft: Duration? { call.deadline.map { max(.zero, $0 - .current()) } }

  /// Who calls, as proven by the client's certificate; nil without mutual TLS.
  public var peer: PeerIdentity? { call.connection?.transport.peerIdentity ?? nil }

  /// The socket address of the caller.
  public var peerAddress: SocketAddress? { call.connection?.transport.peer }

  /// Whether the caller is gone or has stopped waiting: nobody will see the answer.
  public var isCancelled: Bool { call.isCancelled }

  /// Whether the request's message that was taken last came compressed.
  public var isRequestCompressed: Bool { call.tookCompressed }

  /// How the answer's messages are compressed if the client accepts that; the server's habit unless changed. Changes after
  /// the initial metadata is sent have no effect; a single message is spared by `write(_:compress:)`.
  public var responseEncoding: MessageEncoding {
    get { call.responseEncoding }
    nonmutating set { call.responseEncoding = newValue }
  }

  /// Sent before the first message. Changes after that have no effect.
  public var initialMetadata: Metadata {
    get { call.initialMetadata }
    nonmutating set { call.initialMetadata = newValue }
  }

  /// Sent after the last message, with the status, also when the call fails.
  public var trailers: Metadata {
    get { call.trailers }
    nonmutating set { call.trailers = newValue }
  }

  /// Sends the initial metadata now instead of with the first message.
  public func sendInitialMetadata() { call.sendHeaders() }

  /// Keeps a value for the rest of the call, one a type: how an interceptor tells the handler what it found out.
  public func attach<Value>(_ value: Value) { call.attachments[ObjectIdentifier(Value.self)] = value }

  /// The value that was attached under this type.
  public func attached<Value>(_: Value.Type = Value.self) -> Value? {
    call.attachments[ObjectIdentifier(Value.self)] as? Value
  }
}

/// Stands around every handler of a server, in the order of registration, the first outermost.
///
/// It may refuse the call by throwing, set metadata and attachments before and trailers after, and see how the handler
/// ended. Without interceptors, calls pay nothing for the possibility.
public protocol ServerInterceptor {
  /// Calls `next` at most once. What it throws is the call's outcome.
  func intercept(_ context: ServerContext, _ next: () async throws -> Void) async throws

  /// A call has ended that never came so far: no such method, not allowed, too large, too late, or too much to do.
  func refused(_ context: ServerContext, _ error: RPCError)
}

extension ServerInterceptor {
  public func refused(_ context: ServerContext, _ error: RPCError) {}
}
