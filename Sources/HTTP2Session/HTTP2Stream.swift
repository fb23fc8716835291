/// One stream's state inside a session. Not Sendable; lives where its session lives. The session recycles the object
/// after the stream's `closed` event when nobody else holds it.
///
/// Its stored state is exempt from the run-time's exclusivity checks: it is touched on one loop only, and by nothing
/// while it is being changed; the checks were a fifth of an echo call's instructions (docs/BENCHMARKS.md).
package final class HTTP2Stream {
  /// Where a received field's name lies in the arena; its value follows.
  struct Field: BitwiseCopyable {
    var start: UInt32
    var nameLength: UInt32
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

  @exclusivity(unchecked) package internal(set) var id: Int32 = 0
  /// The owner's object for this stream; released after the `closed` event.
  package var owner: AnyObject? {
    get { storedOwner }
    set { storedOwner = newValue }
  }
  // Behind an accessor: another module would not know that its accesses need no check.
  @exclusivity(unchecked) private var storedOwner: AnyObject?
  /// The peer has sent END_STREAM.
  @exclusivity(unchecked) package internal(set) var remoteEnded = false
  /// Our END_STREAM has left.
  @exclusivity(unchecked) package internal(set) var localEnded = false
  /// The stream is gone; its `closed` event is queued or delivered. Submitting on it does nothing.
  @exclusivity(unchecked) package internal(set) var isClosed = false
  /// Client: the stream is gone, and not even its HEADERS have left.
  @exclusivity(unchecked) package internal(set) var neverSent = false
  /// Bytes written and not yet framed.
  package var pendingBytes: Int { pending.count - pendingHead }

  @exclusivity(unchecked) var liveIndex = -1
  @exclusivity(unchecked) var arena = Arena<UInt8>()
  @exclusivity(unchecked) var fields = Arena<Field>()
  @exclusivity(unchecked) var blockStart = 0
  @exclusivity(unchecked) var blockSize = 0
  @exclusivity(unchecked) var blocks = 0
  @exclusivity(unchecked) var blockRefused = false
  /// When the field section in progress began; nil between sections.
  @exclusivity(unchecked) var blockStarted: UInt64?
  @exclusivity(unchecked) var blockKind = HTTP2HeaderBlock.Kind.request

  @exclusivity(unchecked) var pending: [UInt8] = []
  @exclusivity(unchecked) var pendingHead = 0
  /// Some of what was written has left.
  @exclusivity(unchecked) var hasMoved = false
  @exclusivity(unchecked) var outgoing = Outgoing.idle
  @exclusivity(unchecked) var deferred = false
  @exclusivity(unchecked) var trailers = HTTP2FieldList()
  /// One-shot: a `drained` event when fewer bytes than this are pending.
  @exclusivity(unchecked) var drainMark = 0
  @exclusivity(unchecked) var unconsumed = 0
  @exclusivity(unchecked) var resetByOwner = false
  /// The peer has sent RST_STREAM.
  @exclusivity(unchecked) package internal(set) var resetByPeer = false
  /// When enough bytes last left, or began to wait.
  @exclusivity(unchecked) var progress: UInt64 = 0 {
    didSet { trickled = 0 }
  }
  /// Bytes that have left since.
  @exclusivity(unchecked) var trickled = 0

  /// What an object that waits for another stream keeps, in bytes: dozens of them wait on each of thousands of
  /// connections, and most sections and messages are smaller.
  static let keptBytes = 2048
  static let keptPending = 4096

  /// What the stream holds beside itself, in bytes.
  var heldBytes: Int { arena.heldBytes + fields.heldBytes + pending.capacity }

  func prepareForReuse() {
    id = 0
    owner = nil
    remoteEnded = false
    localEnded = false
    isClosed = false
    neverSent = false
    liveIndex = -1
    arena.removeAll(keeping: Self.keptBytes)
    fields.removeAll(keeping: Self.keptBytes)
    blockStart = 0
    blockSize = 0
    blocks = 0
    blockRefused = false
    blockStarted = nil
    dropPending()
    if pending.capacity > Self.keptPending { pending = [] }
    hasMoved = false
    outgoing = .idle
    deferred = false
    trailers = HTTP2FieldList()  // the list is often shared between streams: emptying it would copy it first
    drainMark = 0
    unconsumed = 0
    resetByOwner = false
    resetByPeer = false
  }

  func bytes(of field: Field) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
    let start = UnsafeRawPointer(arena.pointer(to: Int(field.start)))
    return (
      UnsafeRawBufferPointer(start: start, count: Int(field.nameLength)),
      UnsafeRawBufferPointer(start: start.map { $0 + Int(field.nameLength) }, count: Int(field.valueLength))
    )
  }

  func dropPending() {
    guard !pending.isEmpty else { return }
    if pending.capacity <= 32 * 1024 { pending.removeAll(keepingCapacity: true) } else { pending = [] }
    pendingHead = 0
  }

  /// Lends the first `count` pending bytes and forgets them.
  func takePending(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
    guard count > 0 else { return }
    hasMoved = true
    pending.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[pendingHead..<pendingHead + count])) }
    pendingHead += count
    if pendingHead == pending.count { dropPending() }
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
