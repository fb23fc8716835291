public import WireCodec

/// Sends messages to the other side of a call, in order.
public struct MessageWriter<Message: WireMessage> {
  let call: CallStream
  /// Client: ends the call when nobody holds it any more.
  let guardian: AnyObject?

  /// Sends a message, and suspends while more than the high-water mark (64 KiB unless configured) waits to be taken by
  /// the peer.
  ///
  /// - Parameter compress: false sends it as it is in a call whose messages are compressed.
  /// - Throws: the call's outcome when it is over; CANCELLED when the task is cancelled; RESOURCE_EXHAUSTED for a
  ///   message of 4 GiB or more.
  public func write(_ message: Message, compress: Bool = true) async throws(RPCError) {
    try await call.writeMessage(message, compress: compress)
  }
}
