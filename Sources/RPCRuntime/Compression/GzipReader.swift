import CZlib
import Glibc

/// Decompresses a gzip message (RFC 1952) from memory to memory, a slice at a time. Not Sendable; lives on its loop.
final class GzipReader {
  private let stream: UnsafeMutablePointer<z_stream>
  // Raw memory: an array would be filled with zeros first, megabytes of them for a large message.
  private var output: UnsafeMutableRawPointer?
  private var capacity = 0
  private var count = 0
  private var consumed = 0
  private var limit = 0

  /// What one step reads and writes at most, in bytes, so that it takes about half a millisecond: input because a
  /// message may consist of headers of blocks that give nothing. 16 KiB, 128 KiB.
  static let inputSlice = 16 * 1024
  static let outputSlice = 128 * 1024
  /// Output memory above this is given back after use. 64 KiB.
  static let keptCapacity = 64 * 1024

  init() {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    guard emcp_gzip_reader(stream) == Z_OK else { fatalError("zlib has no memory") }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
    free(output)
  }

  /// Begins with a message.
  ///
  /// - Parameter limit: the largest message, in bytes, when decompressed. Memory follows what was decompressed, never a
  ///   promise of the sender: a bomb costs no more than the largest message.
  func begin(limit: Int) {
    inflateReset(stream)
    (count, consumed, self.limit) = (0, 0, limit)
  }

  /// Goes on with the message.
  ///
  /// - Parameter message: the whole of it, the same bytes in each step.
  /// - Returns: whether all of it is decompressed.
  /// - Throws: RESOURCE_EXHAUSTED above the limit; INTERNAL when the bytes are not exactly one gzip member.
  func step(_ message: UnsafeRawBufferPointer) throws(RPCError) -> Bool {
    guard let base = message.baseAddress, !message.isEmpty else { throw Self.malformed }
    let input = min(message.count - consumed, Self.inputSlice)
    stream.pointee.next_in = UnsafeMutablePointer(mutating: (base + consumed).assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(input)
    let end = consumed + input
    let most = count + Self.outputSlice
    while true {
      if count == capacity { grow(atLeast: min(4 * message.count + 64, Self.keptCapacity)) }
      stream.pointee.next_out = (output! + count).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(min(capacity, most) - count)
      let status = inflate(stream, Z_NO_FLUSH)
      let isFull = stream.pointee.avail_out == 0
      count = min(capacity, most) - Int(stream.pointee.avail_out)
      consumed = end - Int(stream.pointee.avail_in)
      if count > limit {
        throw RPCError(.resourceExhausted, "a message is larger than the allowed \(limit) bytes when decompressed")
      }
      switch status {
      case Z_STREAM_END where consumed == message.count: return true
      case Z_OK where count >= most || consumed == end && end < message.count: return false
      case Z_OK where isFull: continue
      default: throw Self.malformed
      }
    }
  }

  /// Lends what was decompressed, then gives large memory back.
  func withOutput(_ body: (UnsafeRawBufferPointer) throws(RPCError) -> Void) throws(RPCError) {
    defer { giveBackMemory() }
    try body(UnsafeRawBufferPointer(start: output, count: count))
  }

  func giveBackMemory() {
    guard capacity > Self.keptCapacity else { return }
    free(output)
    output = nil
    capacity = 0
  }

  /// One byte above the limit shows that it is exceeded.
  private func grow(atLeast first: Int) {
    capacity = min(limit + 1, max(2 * capacity, first))
    guard let grown = realloc(output, capacity) else { fatalError("out of memory") }
    output = grown
  }

  private static var malformed: RPCError { RPCError(.internal, "a message's compression is broken") }
}
