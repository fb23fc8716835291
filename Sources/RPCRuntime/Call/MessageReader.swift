public import WireCodec

/// The messages that the other side of a call sends, in order, each once. One task reads at a time.
///
/// A reader that pauses stops the sender: bytes go back to the HTTP/2 window only as messages are taken.
public struct MessageReader<Message: WireMessage>: AsyncSequence {
  public typealias Element = Message
  public typealias Failure = RPCError

  let call: CallStream
  /// Client: ends the call when nobody holds it any more.
  let guardian: AnyObject?

  /// The next message, or nil after the last one.
  ///
  /// - Throws: the call's outcome when it failed; CANCELLED when the task is cancelled.
  public func next() async throws(RPCError) -> Message? { try await call.nextMessage() }

  /// Whether the message taken last came compressed.
  public var isCompressed: Bool { call.tookCompressed }

  public func makeAsyncIterator() -> Iterator { Iterator(reader: self) }

  public struct Iterator: AsyncIteratorProtocol {
    let reader: MessageReader

    public mutating func next() async throws(RPCError) -> Message? { try await reader.next() }

    public mutating func next(isolation actor: isolated (any Actor)?) async throws(RPCError) -> Message? {
      try await reader.next()
    }
  }
}
