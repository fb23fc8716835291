import WireCodec

/// The received bytes of one side of a call, cut into messages, and what of them may be given back to the sender's window.
///
/// A value without I/O. Back-pressure: bytes of whole messages are given back only when a reader takes them; bytes of a
/// message that is still incomplete at once, since it could be larger than the window. What lies here is therefore at
/// most one window and one message.
///
/// Spec: gRPC over HTTP/2, "Length-Prefixed-Message".
struct MessageInbox {
  private var buffer: [UInt8] = []
  /// Where the next message to be taken begins.
  private var head = 0
  /// Where the first incomplete frame begins.
  private var scan = 0
  /// Whole messages that wait for a reader.
  private(set) var readyCount = 0
  /// Of all whole messages that came, in bytes, without their prefixes; a reset leaves it.
  var receivedBytes = 0
  /// The same, with what is here of the next one.
  var arrivedBytes: Int { receivedBytes + buffer.count - scan }
  /// Received and not given back.
  private var owed = 0
  /// The largest message, in bytes.
  var limit: Int
  /// Whether the call declared an encoding: without one no message may be compressed.
  var allowsCompressed = false
  /// The memory that is in use: what lay in the buffer at most since it was made.
  private(set) var heldBytes = 0

  static let prefixCount = WireFrame.prefixLength
  /// What a prefix can say, in bytes: a larger limit is none.
  static let largestMessage = Int(UInt32.max)
  /// Kept for the next call when a call ends, in bytes.
  static let keptCapacity = 16 * 1024
  /// Kept for the next message of a call: a mebibyte with what comes around it. Fresh memory costs a page fault for each
  /// 4 KiB, which is more than the copy.
  private static let keptInCall = 1024 * 1024 + 64 * 1024
  /// Room behind a large message for the beginning of the next, which comes in the same frame.
  private static let frameRoom = 16 * 1024

  init(limit: Int) { self.limit = limit }

  /// Whether bytes of an incomplete message are here.
  var isMidMessage: Bool { scan < buffer.count }

  mutating func reset(limit: Int) {
    self.limit = limit
    allowsCompressed = false
    if buffer.capacity > Self.keptCapacity { buffer = [] } else { buffer.removeAll(keepingCapacity: true) }
    head = 0
    scan = 0
    readyCount = 0
    owed = 0
    heldBytes = 0
  }

  /// Takes bytes from the wire.
  ///
  /// - Returns: how many bytes to give back to the sender's window now.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) throws(RPCError) -> Int {
    buffer.append(contentsOf: bytes)
    heldBytes = max(heldBytes, buffer.count)
    owed += bytes.count
    try findMessages()
    guard readyCount == 0 else { return 0 }
    defer { owed = 0 }
    return owed
  }

  private mutating func findMessages() throws(RPCError) {
    while buffer.count - scan >= Self.prefixCount {
      let flag = buffer[scan]
      if flag != 0 {
        guard flag == 1 else { throw RPCError(.internal, "a message begins with a flag that is neither 0 nor 1") }
        guard allowsCompressed else {
          throw RPCError(.internal, "a message is compressed though the call declared no compression")
        }
      }
      let count =
        Int(buffer[scan + 1]) << 24 | Int(buffer[scan + 2]) << 16 | Int(buffer[scan + 3]) << 8 | Int(buffer[scan + 4])
      guard count <= limit else {
        throw RPCError(.resourceExhausted, "a message of \(count) bytes is larger than the allowed \(limit)")
      }
      let end = scan + Self.prefixCount + count
      guard end <= buffer.count else {
        // One growth instead of many: the size is known and allowed. Not before a part of it is here, so that a prefix
        // alone claims no memory.
        if buffer.count - scan > 32 * 1024 { buffer.reserveCapacity(end + Self.frameRoom) }
        return
      }
      scan = end
      readyCount += 1
      receivedBytes += count
    }
  }

  /// The next whole message, if there is one. After the last use of its bytes `removeFirst` forgets it.
  func withFirst<R, Failure: Error>(_ body: (UnsafeRawBufferPointer) throws(Failure) -> R) throws(Failure) -> R {
    let start = head + Self.prefixCount
    return try buffer.span.bytes.extracting(start..<start + firstCount).withUnsafeBytes(body)
  }

  /// Whether the first whole message is compressed.
  var isFirstCompressed: Bool { buffer[head] == 1 }

  private var firstCount: Int {
    Int(buffer[head + 1]) << 24 | Int(buffer[head + 2]) << 16 | Int(buffer[head + 3]) << 8 | Int(buffer[head + 4])
  }

  /// Forgets the first whole message.
  ///
  /// - Returns: how many bytes to give back to the sender's window.
  mutating func removeFirst() -> Int {
    let count = Self.prefixCount + firstCount
    head += count
    readyCount -= 1
    let givenBack = readyCount == 0 ? owed : min(owed, count)
    owed -= givenBack
    compact()
    return givenBack
  }

  private mutating func compact() {
    if head == buffer.count {
      let keepsBuffer = buffer.capacity <= Self.keptInCall
      buffer.removeAll(keepingCapacity: keepsBuffer)
      if !keepsBuffer { heldBytes = 0 }
      head = 0
      scan = 0
    } else if head > 64 * 1024, head > buffer.count / 2 {
      buffer.removeFirst(head)
      scan -= head
      head = 0
    }
  }
}
