/// Writes messages in the protobuf wire format, one behind the other, into memory that it owns and keeps.
///
/// A connection's loop keeps one writer: ``reset(keeping:)`` forgets the bytes and keeps the memory, so that writing a message
/// allocates nothing. ``frame(_:)`` puts the gRPC prefix in front.
///
/// The methods named after a type write a field. Those that take a plain value leave out the type's default, as proto3
/// does for a field without presence; those that take an optional write whatever is there, the default too.
///
/// Not copyable: one owner, one buffer. May move between threads, may not be shared.
public struct WireWriter: ~Copyable {
  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline var capacity: Int
  /// Memory that was lent is its lender's to free.
  @usableFromInline var isLent: Bool

  /// Bytes written since the last reset.
  @inlinable public var count: Int { _count }
  @usableFromInline var _count = 0

  /// Memory above this is given back by ``reset(keeping:)`` unless told otherwise: one large mail must not stay a loop's
  /// burden for ever. 64 KiB.
  public static var retainedCapacity: Int { 64 * 1024 }

  public init(capacity: Int = 256) {
    self.capacity = max(capacity, 16)
    base = .allocate(byteCount: self.capacity, alignment: 16)
    isLent = false
  }

  /// Writes into memory of the caller's as long as that suffices, of which there must be 16 bytes and which must outlive it.
  @inlinable
  init(lent memory: UnsafeMutableRawBufferPointer) {
    base = memory.baseAddress!
    capacity = memory.count
    isLent = true
  }

  @inlinable deinit { if !isLent { base.deallocate() } }

  // MARK: The result

  /// A copy of what was written.
  @inlinable public var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: base, count: _count)) }

  /// What was written, in place. The pointer is valid during the call only.
  @inlinable
  public borrowing func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try body(UnsafeRawBufferPointer(start: base, count: _count))
  }

  /// Forgets what was written.
  ///
  /// - Parameter kept: larger memory is given back, in bytes; at least ``retainedCapacity``.
  public mutating func reset(keeping kept: Int = retainedCapacity) {
    _count = 0
    guard capacity > max(kept, Self.retainedCapacity) else { return }
    if !isLent { base.deallocate() }
    isLent = false
    capacity = Self.retainedCapacity
    base = .allocate(byteCount: capacity, alignment: 16)
  }

  // MARK: Fields without presence

  @inlinable public mutating func string(_ number: Int, _ value: String) {
    if !value.isEmpty { putString(number, value) }
  }

  @inlinable public mutating func bytes(_ number: Int, _ value: [UInt8]) {
    if !value.isEmpty { putBytes(number, value) }
  }

  @inlinable public mutating func bool(_ number: Int, _ value: Bool) {
    if value { putVarint(number, 1) }
  }

  @inlinable public mutating func int32(_ number: Int, _ value: Int32) {
    if value != 0 { putVarint(number, UInt64(bitPattern: Int64(value))) }
  }

  @inlinable public mutating func int64(_ number: Int, _ value: Int64) {
    if value != 0 { putVarint(number, UInt64(bitPattern: value)) }
  }

  @inlinable public mutating func uint32(_ number: Int, _ value: UInt32) {
    if value != 0 { putVarint(number, UInt64(value)) }
  }

  @inlinable public mutating func uint64(_ number: Int, _ value: UInt64) {
    if value != 0 { putVarint(number, value) }
  }

  @inlinable public mutating func sint32(_ number: Int, _ value: Int32) {
    if value != 0 { putVarint(number, UInt64(zigzag(value))) }
  }

  @inlinable public mutating func sint64(_ number: Int, _ value: Int64) {
    if value != 0 { putVarint(number, zigzag(value)) }
  }

  @inlinable public mutating func fixed32(_ number: Int, _ value: UInt32) {
    if value != 0 { putFixed32(number, value) }
  }

  @inlinable public mutating func fixed64(_ number: Int, _ value: UInt64) {
    if value != 0 { putFixed64(number, value) }
  }

  /// Writes all but +0: −0 has a bit set and is kept, as the official runtimes do.
  @inlinable public mutating func float(_ number: Int, _ value: Float) {
    if value.bitPattern != 0 { putFixed32(number, value.bitPattern) }
  }

  /// Writes all but +0: −0 has a bit set and is kept, as the official runtimes do.
  @inlinable public mutating func double(_ number: Int, _ value: Double) {
    if value.bitPattern != 0 { putFixed64(number, value.bitPattern) }
  }

  @inlinable public mutating func `enum`<T: WireEnum>(_ number: Int, _ value: T) {
    int32(number, value.rawValue)
  }

  // MARK: Fields with presence, and members of a oneof

  @inlinable public mutating func string(_ number: Int, _ value: String?) {
    if let value { putString(number, value) }
  }

  @inlinable public mutating func bytes(_ number: Int, _ value: [UInt8]?) {
    if let value { putBytes(number, value) }
  }

  @inlinable public mutating func bool(_ number: Int, _ value: Bool?) {
    if let value { putVarint(number, value ? 1 : 0) }
  }

  @inlinable public mutating func int32(_ number: Int, _ value: Int32?) {
    if let value { putVarint(number, UInt64(bitPattern: Int64(value))) }
  }

  @inlinable public mutating func int64(_ number: Int, _ value: Int64?) {
    if let value { putVarint(number, UInt64(bitPattern: value)) }
  }

  @inlinable public mutating func double(_ number: Int, _ value: Double?) {
    if let value { putFixed64(number, value.bitPattern) }
  }

  @inlinable public mutating func `enum`<T: WireEnum>(_ number: Int, _ value: T?) {
    if let value { putVarint(number, UInt64(bitPattern: Int64(value.rawValue))) }
  }

  /// Writes a nested message when there is one.
  @inlinable public mutating func message<M: WireMessage>(_ number: Int, _ value: M?) {
    if let value { putMessage(number, value) }
  }

  // MARK: Repeated fields

  @inlinable public mutating func strings(_ number: Int, _ values: [String]) {
    for value in values { putString(number, value) }
  }

  @inlinable public mutating func byteStrings(_ number: Int, _ values: [[UInt8]]) {
    for value in values { putBytes(number, value) }
  }

  @inlinable public mutating func messages<M: WireMessage>(_ number: Int, _ values: [M]) {
    for value in values { putMessage(number, value) }
  }

  /// Writes them packed.
  @inlinable public mutating func int32s(_ number: Int, _ values: [Int32]) {
    packed(number, values) { UInt64(bitPattern: Int64($0)) }
  }

  /// Writes them packed.
  @inlinable public mutating func int64s(_ number: Int, _ values: [Int64]) {
    packed(number, values) { UInt64(bitPattern: $0) }
  }

  /// Writes them packed.
  @inlinable public mutating func enums<T: WireEnum>(_ number: Int, _ values: [T]) {
    packed(number, values) { UInt64(bitPattern: Int64($0.rawValue)) }
  }

  /// Writes the pairs in the order of their keys.
  public mutating func map(_ number: Int, _ values: WireMap) {
    for (key, value) in values.pairs {
      let size = lengthDelimitedSize(key) + lengthDelimitedSize(value)
      putTag(number, .lengthDelimited)
      putRawVarint(UInt64(size))
      putString(1, key)
      putString(2, value)
    }
  }

  // MARK: gRPC frames

  /// Writes a message behind its five-byte gRPC prefix.
  @inlinable
  public mutating func frame<M: WireMessage>(_ message: M) {
    reserve(message.encodedSizeHint + 64)
    let mark = beginFrame()
    message.encode(into: &self)
    endFrame(mark)
  }

  /// Leaves room for a gRPC prefix; what follows, up to ``endFrame(_:)``, is its message.
  @inlinable
  public mutating func beginFrame() -> Int {
    reserve(WireFrame.prefixLength)
    _count += WireFrame.prefixLength
    return _count
  }

  /// Fills in the gRPC prefix of a message that is not compressed.
  ///
  /// - Parameter mark: what ``beginFrame()`` returned.
  /// - Precondition: the message is shorter than 4 GiB.
  @inlinable
  public mutating func endFrame(_ mark: Int) {
    let prefix = base + (mark - WireFrame.prefixLength)
    prefix.storeBytes(of: 0, as: UInt8.self)
    prefix.storeBytes(of: UInt32(_count - mark).bigEndian, toByteOffset: 1, as: UInt32.self)
  }

  // MARK: Pieces

  /// Makes room for so many more bytes.
  @inlinable @inline(__always)
  public mutating func reserve(_ more: Int) {
    if capacity &- _count < more { grow(more) }
  }

  @usableFromInline @inline(never)
  mutating func grow(_ more: Int) {
    let larger = max(capacity * 2, _count + more)
    let new = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    new.copyMemory(from: base, byteCount: _count)
    if !isLent { base.deallocate() }
    isLent = false
    base = new
    capacity = larger
  }

  @inlinable mutating func putVarint(_ number: Int, _ value: UInt64) {
    reserve(20)
    appendTag(number, .varint)
    appendVarint(value)
  }

  @inlinable mutating func putFixed32(_ number: Int, _ value: UInt32) {
    reserve(14)
    appendTag(number, .fixed32)
    (base + _count).storeBytes(of: value.littleEndian, as: UInt32.self)
    _count &+= 4
  }

  @inlinable mutating func putFixed64(_ number: Int, _ value: UInt64) {
    reserve(18)
    appendTag(number, .fixed64)
    (base + _count).storeBytes(of: value.littleEndian, as: UInt64.self)
    _count &+= 8
  }

  @inlinable mutating func putString(_ number: Int, _ value: String) {
    value.utf8Span.span.withUnsafeBytes { putLengthDelimited(number, $0) }
  }

  @inlinable mutating func putBytes(_ number: Int, _ value: [UInt8]) {
    value.withUnsafeBytes { putLengthDelimited(number, $0) }
  }

  @inlinable @inline(__always)
  mutating func putLengthDelimited(_ number: Int, _ raw: UnsafeRawBufferPointer) {
    reserve(20 &+ raw.count)
    appendTag(number, .lengthDelimited)
    appendVarint(UInt64(truncatingIfNeeded: raw.count))
    guard let source = raw.baseAddress else { return }
    (base + _count).copyMemory(from: source, byteCount: raw.count)
    _count &+= raw.count
  }

  /// Writes a nested message behind a length of the size that the hint suggests, and moves it when that was wrong: most
  /// are shorter than 128 bytes, where one byte is right.
  @inlinable mutating func putMessage<M: WireMessage>(_ number: Int, _ value: M) {
    putTag(number, .lengthDelimited)
    let hint = value.encodedSizeHint
    let room = varintSize(UInt64(hint))
    reserve(hint + 10)
    _count &+= room
    let start = _count
    value.encode(into: &self)
    let length = _count - start
    let needed = varintSize(UInt64(length))
    if needed != room {
      reserve(10)
      (base + (start - room + needed)).copyMemory(from: base + start, byteCount: length)
    }
    _count = start - room
    putRawVarint(UInt64(length))
    _count &+= length
  }

  @inlinable mutating func packed<T>(_ number: Int, _ values: [T], _ varint: (T) -> UInt64) {
    guard !values.isEmpty else { return }
    var size = 0
    for value in values { size += varintSize(varint(value)) }
    putTag(number, .lengthDelimited)
    putRawVarint(UInt64(size))
    for value in values { putRawVarint(varint(value)) }
  }

  @inlinable @inline(__always)
  mutating func putTag(_ number: Int, _ type: WireType) {
    reserve(10)
    appendTag(number, type)
  }

  @inlinable @inline(__always)
  mutating func putRawVarint(_ value: UInt64) {
    reserve(10)
    appendVarint(value)
  }

  // Into room that is there: 10 bytes for a varint of 64 bits, which a tag is too.

  @inlinable @inline(__always)
  mutating func appendTag(_ number: Int, _ type: WireType) {
    appendVarint(UInt64(truncatingIfNeeded: number) &<< 3 | UInt64(type.rawValue))
  }

  @inlinable @inline(__always)
  mutating func appendVarint(_ value: UInt64) {
    if value < 0x80 {
      (base + _count).storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
      _count &+= 1
    } else {
      appendLongVarint(value)
    }
  }

  @inlinable mutating func appendLongVarint(_ value: UInt64) {
    var rest = value
    var at = base + _count
    while rest >= 0x80 {
      at.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, as: UInt8.self)
      at += 1
      rest &>>= 7
    }
    at.storeBytes(of: UInt8(truncatingIfNeeded: rest), as: UInt8.self)
    _count = at - base + 1
  }
}

/// How many bytes the varint takes: 1–10.
@inlinable
func varintSize(_ value: UInt64) -> Int {
  // 7 bits a byte; the multiplication is the usual division by 7 without dividing.
  let bits = 64 - (value | 1).leadingZeroBitCount
  return (bits &* 37 &+ 226) &>> 8
}

@inlinable func zigzag(_ value: Int32) -> UInt32 { UInt32(bitPattern: (value &<< 1) ^ (value &>> 31)) }

@inlinable func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)) }

/// A string field with a number below 16: tag, length and content.
private func lengthDelimitedSize(_ value: String) -> Int {
  let length = value.utf8.count
  return 1 + varintSize(UInt64(length)) + length
}
