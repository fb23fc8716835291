import CZlib
import Glibc
import WireCodec

/// Compresses a message with gzip (RFC 1952) from memory to memory, a slice at a time. Not Sendable; lives on its loop.
final class GzipWriter {
  private let stream: UnsafeMutablePointer<z_stream>
  private var output: UnsafeMutableRawPointer?
  private var capacity = 0
  private var consumed = 0

  /// What one step reads at most, in bytes, so that it takes about half a millisecond. 32 KiB.
  static let inputSlice = 32 * 1024

  enum Step: Equatable {
    /// Some of it is still to be done.
    case more
    /// To be sent: with its prefix.
    case done([UInt8])
    /// The message does not get smaller: it goes as it is.
    case useless
  }

  init() {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    guard emcp_gzip_writer(stream) == Z_OK else { fatalError("zlib has no memory") }
  }

  deinit {
    deflateEnd(stream)
    stream.deallocate()
    free(output)
  }

  /// Begins with a message.
  func begin() {
    deflateReset(stream)
    consumed = 0
  }

  /// Goes on with the message.
  ///
  /// - Parameter framed: the whole of it with its prefix in front, the same bytes in each step.
  func step(_ framed: UnsafeRawBufferPointer) -> Step {
    let prefix = WireFrame.prefixLength
    let count = framed.count - prefix
    // zlib counts in 32 bits; its sum of lengths is not asked for, so that 4 GiB is no special case.
    guard let base = framed.baseAddress, count > 0, count < Int(UInt32.max) else { return .useless }
    if consumed == 0 { prepareOutput(prefix + count) }
    let input = min(count - consumed, Self.inputSlice)
    stream.pointee.next_in = UnsafeMutablePointer(
      mutating: (base + prefix + consumed).assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(input)
    consumed += input
    let status = deflate(stream, consumed == count ? Z_FINISH : Z_NO_FLUSH)
    if consumed < count { return status == Z_OK && stream.pointee.avail_out > 0 ? .more : .useless }
    guard status == Z_STREAM_END, let output else { return .useless }
    let size = count - 1 - Int(stream.pointee.avail_out)
    output.storeBytes(of: 1, as: UInt8.self)
    output.storeBytes(of: UInt32(size).bigEndian, toByteOffset: 1, as: UInt32.self)
    return .done([UInt8](UnsafeRawBufferPointer(start: output, count: prefix + size)))
  }

  private func prepareOutput(_ needed: Int) {
    if needed > capacity {
      free(output)
      output = malloc(needed)
      guard output != nil else { fatalError("out of memory") }
      capacity = needed
    }
    stream.pointee.next_out = (output! + WireFrame.prefixLength).assumingMemoryBound(to: UInt8.self)
    // One byte less than the message: what is not smaller is not wanted.
    stream.pointee.avail_out = UInt32(needed - WireFrame.prefixLength - 1)
  }
}
