/// One stream's state inside a session. Not Sendable; lives where its session lives. The session recycles the object
/// after the stream's `closed` event when nobody else holds it.
package final class HTTP2Stream {
  struct Field {
    var nameStart: UInt32
    var nameLength: UInt32
    var valueStart: UInt32
    var valueLength: UInt32
  }

  /// What is still to be sent.
  enum Outgoing {
    /// No HEADERS submitted yet.
    case idle
    case open
    /// END_STREAM follows the pending bytes.
    case ending
    /// A trailer section follows the pending bytes.
    case endingWithTrailers
    /// END_STREAM or trailers are with nghttp2.
    case ended
  }

  package internal(set) var id: Int32 = 0
  /// The owner's object for this stream; released after the `closed` event.
  package var owner: AnyObject?
  /// The peer has sent END_STREAM.
  package internal(set) var remoteEnded = false
  /// Our END_STREAM has left.
  package internal(set) var localEnded = false
  /// The stream is gone; its `closed` event is queued or delivered. Submitting on it does nothing.
  package internal(set) var isClosed = false
  /// Bytes written and not yet framed.
  package var pendingBytes: Int { pending.count - pendingHead }

  var liveIndex = -1
  var arena = ByteArena()
  var fields: [Field] = []
  var blockStart = 0
  var blockSize = 0
  var blocks = 0
  var blockRefused = false
  var blockKind = HTTP2HeaderBlock.Kind.request

  var pending: [UInt8] = []
  var pendingHead = 0
  var outgoing = Outgoing.idle
  var deferred = false
  var trailers = HTTP2FieldList()
  /// One-shot: a `drained` event when fewer bytes than this are pending.
  var drainMark = 0
  var unconsumed = 0
  var resetByOwner = false
  /// When bytes last left, or began to wait.
  var progress: UInt64 = 0

  func prepareForReuse() {
    id = 0
    owner = nil
    remoteEnded = false
    localEnded = false
    isClosed = false
    liveIndex = -1
    arena.removeAll()
    fields.removeAll(keepingCapacity: true)
    blockStart = 0
    blockSize = 0
    blocks = 0
    blockRefused = false
    dropPending()
    outgoing = .idle
    deferred = false
    trailers.removeAll()
    drainMark = 0
    unconsumed = 0
    resetByOwner = false
  }

  func dropPending() {
    if pending.capacity <= 32 * 1024 { pending.removeAll(keepingCapacity: true) } else { pending = [] }
    pendingHead = 0
  }

  /// Copies up to `length` pending bytes out and forgets them.
  func takePending(into buffer: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
    let count = min(length, pendingBytes)
    guard count > 0 else { return 0 }
    pending.withUnsafeBytes { bytes in
      UnsafeMutableRawPointer(buffer).copyMemory(from: bytes.baseAddress! + pendingHead, byteCount: count)
    }
    pendingHead += count
    if pendingHead == pending.count { dropPending() }
    return count
  }

  func appendPending(_ bytes: UnsafeRawBufferPointer) {
    // Bytes already sent are given back before the array would grow over them.
    if pendingHead > 0, pending.count + bytes.count > pending.capacity {
      pending.removeFirst(pendingHead)
      pendingHead = 0
    }
    pending.append(contentsOf: bytes)
  }
}
