import EventLoop
import HTTP2Session
import WireCodec

/// What both sides of a call have in common: one HTTP/2 stream with messages in both directions, read and written by
/// tasks of the loop with back-pressure. Not Sendable; lives on its loop.
///
/// Its stored state is exempt from the run-time's exclusivity checks: it is touched on one loop only, and by nothing
/// while it is being changed; the checks were a fifth of an echo call's instructions (docs/BENCHMARKS.md).
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
  @exclusivity(unchecked) final var connection: RPCConnection?
  @exclusivity(unchecked) final var stream: HTTP2Stream?
  @exclusivity(unchecked) final var inbox = MessageInbox(limit: 0)
  @exclusivity(unchecked) final var inbound = Inbound.open
  /// Set when nothing can be written any more: writers throw it.
  @exclusivity(unchecked) final var outboundFailure: RPCError?
  /// As if `outboundFailure` said so: a server's call ends with it, and an error is dear to make.
  @exclusivity(unchecked) final var isOver = false
  /// Of messages, without their prefixes.
  @exclusivity(unchecked) final var sentBytes = 0
  /// Whether the message taken last came compressed.
  @exclusivity(unchecked) final var tookCompressed = false
  /// A reader waits for the decompression of the first message.
  private final var isDecompressing = false
  @exclusivity(unchecked) private final var reader: Waiter<Void>?
  @exclusivity(unchecked) private final var writers: [Waiter<Void>] = []

  /// Above so many unsent bytes a writer waits; it goes on below half of it.
  @exclusivity(unchecked) final var highWaterMark = 64 * 1024

  init(reactor: Reactor) { self.reactor = reactor }

  // MARK: Reading

  /// The next message; nil after the last.
  final func nextMessage<Message: WireMessage>() async throws(RPCError) -> Message? {
    while true {
      if case .failed(let error) = inbound { throw error }
      if inbox.readyCount > 0 {
        return try await takeFirst()
      }
      if case .ended(let error) = inbound {
        if let error { throw error }
        return nil
      }
      guard reader == nil else { throw Self.twoReaders }
      do {
        try await reactor.wait { reader = $0 }
      } catch {
        reader = nil
        throw readInterrupted(by: error)
      }
    }
  }

  private static var twoReaders: RPCError {
    RPCError(.internal, "two tasks read the messages of one call at the same time")
  }

  /// Takes the first of the whole messages that are here; there is one.
  ///
  /// Inlined: nearly all messages are plain, and those need no suspension.
  @inline(__always)
  final func takeFirst<Message: WireMessage>() async throws(RPCError) -> Message {
    var message = Message()
    tookCompressed = inbox.isFirstCompressed
    do throws(RPCError) {
      if tookCompressed {
        try await decompressFirst(into: &message)
      } else {
        try inbox.withFirst { (bytes) throws(RPCError) in try Self.merge(bytes, into: &message) }
      }
    } catch {
      if error.code == .internal { foundMalformed() }
      throw error
    }
    giveBack(inbox.removeFirst())
    tookMessage()
    return message
  }

  /// A message that came cannot be read.
  func foundMalformed() {}

  /// A message has left the inbox.
  func tookMessage() {}

  private func decompressFirst<Message: WireMessage>(into message: inout Message) async throws(RPCError) {
    guard !isDecompressing else { throw Self.twoReaders }
    let isDone = try inbox.withFirst { (bytes) throws(RPCError) in
      try gzip.decompressAtOnce(bytes, limit: inbox.limit) { (bytes) throws(RPCError) in
        try Self.merge(bytes, into: &message)
      }
    }
    if isDone { return }
    isDecompressing = true
    defer { isDecompressing = false }
    // The message stays in the inbox meanwhile, and what comes joins it behind.
    try await gzip.decompress(
      limit: inbox.limit, on: reactor,
      step: { (reader) throws(RPCError) in
        if case .failed(let error) = inbound { throw error }
        // A server's call that has ended has let go of its messages.
        guard inbox.readyCount > 0 else { throw Self.over }
        return try inbox.withFirst { (bytes) throws(RPCError) in try reader.step(bytes) }
      },
      interrupted: { readInterrupted(by: $0) },
      { (bytes) throws(RPCError) in try Self.merge(bytes, into: &message) })
  }

  private static func merge<Message: WireMessage>(
    _ bytes: UnsafeRawBufferPointer, into message: inout Message
  ) throws(RPCError) {
    do throws(WireError) {
      var reader = WireReader(bytes)
      try message.merge(from: &reader)
    } catch {
      throw RPCError(.internal, "a message is not a valid \(Message.wireName): \(error)", cause: error)
    }
  }

  /// The owner's; asked for only when a message is compressed.
  var gzip: GzipCodec { fatalError("overridden by both sides") }

  /// Whether messages may be compressed: the call has said so in its headers.
  var compresses: Bool { false }

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
    guard case .open = inbound else { return giveBack(bytes.count) }
    giveBack(try inbox.receive(bytes))
    if inbox.readyCount > 0 { wakeReader() }
  }

  // MARK: Writing

  /// Queues a message and waits while too much is queued before it.
  final func writeMessage(_ message: some WireMessage, compress: Bool) async throws(RPCError) {
    try checkOutbound()
    if compress, compresses {
      try await sendCompressed(message)
      try checkOutbound()
    } else {
      send(message, compress: false)
    }
    try await waitUntilWritable()
  }

  /// Hands a message to the stream, compressed if that makes it smaller, however large it is.
  final func sendCompressed(_ message: some WireMessage) async throws(RPCError) {
    beginSending()
    let frame = frame(message)
    do {
      sendFrame(try await gzip.compress(frame, on: reactor) ?? frame)
    } catch {
      throw writeInterrupted(by: error)
    }
  }

  /// Before the first message: what goes before it, and says that messages may be compressed.
  func beginSending() {}

  /// A message as bytes, with its prefix.
  func frame(_ message: some WireMessage) -> [UInt8] { fatalError("overridden by both sides") }

  /// Hands a message's bytes, with their prefix, to the stream.
  func sendFrame(_ frame: [UInt8]) {
    guard let stream, let connection else { return }
    sentBytes += frame.count - MessageInbox.prefixCount
    connection.write(stream, framed: frame)
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
      try checkOutbound()
    }
  }

  private func checkOutbound() throws(RPCError) {
    if let outboundFailure { throw outboundFailure }
    if isOver { throw Self.over }
  }

  private static var over: RPCError { RPCError(.cancelled, "the call is over") }

  /// The writing task was cancelled. Overridden by the client, whose call ends with that.
  func writeInterrupted(by error: any Error) -> RPCError { RPCError(error) }

  /// Hands a message to the stream.
  ///
  /// - Parameter compress: whether to compress it if the call's messages may be, and if it is small enough to be
  ///   compressed at once.
  func send(_ message: some WireMessage, compress: Bool) {
    guard let stream, let connection else { return }
    guard compress, compresses else {
      sentBytes += connection.write(stream, message) - MessageInbox.prefixCount
      return
    }
    let frame = frame(message)
    sendFrame(frame.withUnsafeBytes { gzip.compressAtOnce($0) } ?? frame)
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

  /// For an operator's eyes.
  var about: (method: String, startedAt: Instant, deadline: Instant?) { fatalError("overridden by both sides") }

  /// Events of the stream, from the connection.
  func receivedHeaders(_ block: HTTP2HeaderBlock) {}
  func receivedData(_ bytes: UnsafeRawBufferPointer) {}
  func receivedEnd() {}
  func streamClosed(_ code: HTTP2ErrorCode) {}
}
