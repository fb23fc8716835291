public import WireCodec

/// The answer of a unary call with its metadata.
public struct UnaryResponse<Message: WireMessage> {
  public let message: Message
  public let initialMetadata: Metadata
  public let trailers: Metadata
  /// Whether the message came compressed.
  public let isCompressed: Bool
}

/// A call whose answers come as a stream.
public struct ServerStreamingCall<Response: WireMessage>: AsyncSequence {
  public typealias Element = Response
  public typealias Failure = RPCError

  let call: ClientCall
  let guardian: CallGuardian

  /// The answers, in order; the end without an error means OK.
  public var responses: MessageReader<Response> { MessageReader(call: call, guardian: guardian) }

  public func makeAsyncIterator() -> MessageReader<Response>.Iterator { responses.makeAsyncIterator() }

  /// The server's initial metadata, once it is here.
  public func initialMetadata() async throws(RPCError) -> Metadata { try await call.headers() }

  /// Empty until the call has ended.
  public var trailers: Metadata { call.trailers }

  /// Ends the call; the server's handler is cancelled too.
  public func cancel() { call.end(RPCError(.cancelled, "the call was cancelled")) }
}

/// A call whose requests go as a stream.
public struct ClientStreamingCall<Request: WireMessage, Response: WireMessage> {
  let call: ClientCall
  let guardian: CallGuardian

  /// Sends a message, and suspends while the server is slow to take them.
  ///
  /// - Parameter compress: false sends it as it is in a call whose messages are compressed.
  /// - Throws: the call's outcome when it is over; CANCELLED when the server ended it early with OK: see `finish()`.
  public func write(_ message: Request, compress: Bool = true) async throws(RPCError) {
    try await call.writeMessage(message, compress: compress)
  }

  /// Says that no message follows, and waits for the answer.
  public func finish() async throws(RPCError) -> Response {
    call.finishWriting()
    return try await call.onlyResponse()
  }

  /// The server's initial metadata, once it is here.
  public func initialMetadata() async throws(RPCError) -> Metadata { try await call.headers() }

  /// Empty until the call has ended.
  public var trailers: Metadata { call.trailers }

  /// Ends the call; the server's handler is cancelled too.
  public func cancel() { call.end(RPCError(.cancelled, "the call was cancelled")) }
}

/// A call with streams both ways. One task may write while another reads.
public struct BidirectionalCall<Request: WireMessage, Response: WireMessage> {
  let call: ClientCall
  let guardian: CallGuardian

  /// Sends a message, and suspends while the server is slow to take them.
  ///
  /// - Parameter compress: false sends it as it is in a call whose messages are compressed.
  /// - Throws: the call's outcome when it is over; CANCELLED when the server ended it with OK.
  public func write(_ message: Request, compress: Bool = true) async throws(RPCError) {
    try await call.writeMessage(message, compress: compress)
  }

  /// Says that no message follows. Answers may still come.
  public func finishWriting() { call.finishWriting() }

  /// The answers, in order; the end without an error means OK.
  public var responses: MessageReader<Response> { MessageReader(call: call, guardian: guardian) }

  /// The server's initial metadata, once it is here.
  public func initialMetadata() async throws(RPCError) -> Metadata { try await call.headers() }

  /// Empty until the call has ended.
  public var trailers: Metadata { call.trailers }

  /// Ends the call; the server's handler is cancelled too.
  public func cancel() { call.end(RPCError(.cancelled, "the call was cancelled")) }
}
