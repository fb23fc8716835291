import EventLoop
import HTTP2Session
import WireCodec

/// What both sides of a call have in common: one HTTP/2 stream with messages in both directions, read and written by
/// tasks of the loop with back-pressure. Not Sendable; lives on its loop.
class CallStream {
  enum Inbound {
    case open
    /// No message follows those in the inbox; then readers throw the error, if there is one.
    case ended(RPCError?)
    /// The call is over: readers throw this, messages that still wait are dropped.
    case failed(RPCError)
  }

  final let reactor: Reactor
  /// Nil before the stream is opened and after the call has let go of it.
  final var connection: RPCConnection?
  final var stream: HTTP2Stream?
  final var inbox = MessageInbox(limit: 0)
  final var inbound = Inbound.open
  /// Set when nothing can be written any more: writers throw it.
  final var outboundFailure: RPCError?
  final var sentBytes = 0
  final var receivedBytes = 0
  private final var reader: Waiter<Void>?
  private final var writers: [Waiter<Void>] = []

  /// Above so many unsent bytes a writer waits; it goes on below half of it.
  final var highWaterMark = 64 * 1024

  init(reactor: Reactor) { self.reactor = reactor }

  // MARK: Reading

  /// The next message; nil after the last.
  final func nextMessage<Message: WireMessage>() async throws(RPCError) -> Message? {
    while true {
      if case .failed(let error) = inbound { throw error }
      if let message: Message = try takeMessage() { return message }
      if case .ended(let error) = inbound {
        if let error { throw error }
        return nil
      }
      guard reader == nil else {
        throw RPCError(.internal, "two tasks read the messages of one call at the same time")
      }
      do {
        try await reactor.wait { reader = $0 }
      } catch {
        reader = nil
        throw readInterrupted(by: error)
      }
    }
  }

  /// The next message that is here already.
  final func takeMessage<Message: WireMessage>() throws(RPCError) -> Message? {
    let taken = try inbox.take { (bytes) throws(RPCError) -> Message in
      do throws(WireError) {
        return try Message(wire: bytes)
      } catch {
        throw RPCError(.internal, "a message is not a valid \(Message.wireName): \(error)", cause: error)
      }
    }
    guard let (message, givenBack) = taken else { return nil }
    giveBack(givenBack)
    return message
  }

  final func giveBack(_ count: Int) {
    guard count > 0, let stream, let connection else { return }
    connection.consume(stream, count)
  }

  /// The reading task was cancelled. Overridden by the client, whose call ends with that.
  func readInterrupted(by error: any Error) -> RPCError { RPCError(error) }

  final func wakeReader() {
    guard let waiter = reader else { return }
    reader = nil
    waiter.resume(returning: ())
  }

  /// Bytes of the body.
  ///
  /// - Throws: what is wrong with them; the call cannot go on.
  final func receive(_ bytes: UnsafeRawBufferPointer) throws(RPCError) {
    receivedBytes += bytes.count
    guard case .open = inbound else { return giveBack(bytes.count) }
    giveBack(try inbox.receive(bytes))
    if inbox.readyCount > 0 { wakeReader() }
  }

  // MARK: Writing

  /// Queues a message and waits while too much is queued before it.
  final func writeMessage(_ message: borrowing some WireMessage) async throws(RPCError) {
    if let outboundFailure { throw outboundFailure }
    send(message)
    try await waitUntilWritable()
  }

  /// Whether more than the high-water mark is queued.
  var isWriteBlocked: Bool { (stream?.pendingBytes ?? 0) > highWaterMark }

  /// Waits while more than the high-water mark is queued.
  final func waitUntilWritable() async throws(RPCError) {
    while isWriteBlocked {
      if let stream { connection?.notifyWhenDrained(stream, below: max(1, highWaterMark / 2)) }
      do {
        try await reactor.wait { writers.append($0) }
      } catch {
        writers.removeAll { !$0.isPending }
        throw writeInterrupted(by: error)
      }
      if let outboundFailure { throw outboundFailure }
    }
  }

  /// The writing task was cancelled. Overridden by the client, whose call ends with that.
  func writeInterrupted(by error: any Error) -> RPCError { RPCError(error) }

  /// Hands a message to the stream.
  func send(_ message: borrowing some WireMessage) {
    guard let stream, let connection else { return }
    sentBytes += connection.write(stream, message)
  }

  final func wakeWriters() {
    guard !writers.isEmpty else { return }
    let woken = writers
    writers = []
    for waiter in woken { waiter.resume(returning: ()) }
  }

  // MARK: Ending

  /// Ends both directions: whoever reads or writes throws `error`.
  final func failBoth(_ error: RPCError) {
    inbound = .failed(error)
    outboundFailure = outboundFailure ?? error
    wakeReader()
    wakeWriters()
  }

  /// Events of the stream, from the connection.
  func receivedHeaders(_ block: HTTP2HeaderBlock) {}
  func receivedData(_ bytes: UnsafeRawBufferPointer) {}
  func receivedEnd() {}
  func streamClosed(_ code: HTTP2ErrorCode) {}
}
