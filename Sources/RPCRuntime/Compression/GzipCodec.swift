import CZlib
import WireCodec

/// gzip (RFC 1952) from memory to memory, one message at a time. Servers and channels have one each: zlib's state is a
/// quarter of a megabyte, too much for a connection, and no message needs that of another.
///
/// The states are made at first use. Not Sendable; lives on its owner's loop.
final class GzipCodec {
  private var writer: UnsafeMutablePointer<z_stream>?
  private var reader: UnsafeMutablePointer<z_stream>?
  @exclusivity(unchecked) private var output: [UInt8] = []

  /// Output memory above this is given back after use. 64 KiB.
  static let keptCapacity = 64 * 1024

  deinit {
    if let writer {
      deflateEnd(writer)
      writer.deallocate()
    }
    if let reader {
      inflateEnd(reader)
      reader.deallocate()
    }
  }

  // MARK: Compressing

  /// Compresses a message that has its prefix in front, and hands over what is to be sent: with a prefix, too.
  ///
  /// - Returns: what `body` returns; nil, without calling it, when the message does not get smaller.
  func compress<R>(framed: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R) -> R? {
    let prefix = WireFrame.prefixLength
    let message = UnsafeRawBufferPointer(rebasing: framed[prefix...])
    // zlib counts in 32 bits; its sum of lengths is not asked for, so that 4 GiB is no special case.
    guard let base = message.baseAddress, !message.isEmpty, message.count < Int(UInt32.max) else { return nil }
    let stream = preparedWriter()
    defer { giveBackMemory() }
    resizeOutput(prefix + message.count)
    stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(message.count)
    let count = output.withUnsafeMutableBufferPointer { buffer -> Int? in
      stream.pointee.next_out = buffer.baseAddress! + prefix
      // One byte less than the message: what is not smaller is not wanted.
      stream.pointee.avail_out = UInt32(message.count - 1)
      guard deflate(stream, Z_FINISH) == Z_STREAM_END else { return nil }
      return message.count - 1 - Int(stream.pointee.avail_out)
    }
    guard let count else { return nil }
    output[0] = 1
    for index in 0..<4 { output[1 + index] = UInt8(truncatingIfNeeded: count >> (24 - 8 * index)) }
    return output.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<(prefix + count)])) }
  }

  private func preparedWriter() -> UnsafeMutablePointer<z_stream> {
    if let writer {
      deflateReset(writer)
      return writer
    }
    let stream = Self.makeStream()
    guard emcp_gzip_writer(stream) == Z_OK else { fatalError("zlib has no memory") }
    writer = stream
    return stream
  }

  // MARK: Decompressing

  /// Decompresses a message.
  ///
  /// - Parameter limit: the largest message, in bytes. Memory follows what was decompressed, never a promise of the
  ///   sender: a bomb costs no more than the largest message.
  /// - Throws: RESOURCE_EXHAUSTED above the limit; INTERNAL when the bytes are not exactly one gzip member; what `body`
  ///   throws.
  func decompress(
    _ bytes: UnsafeRawBufferPointer, limit: Int, _ body: (UnsafeRawBufferPointer) throws(RPCError) -> Void
  ) throws(RPCError) {
    defer { giveBackMemory() }
    let count = try inflate(bytes, limit: limit)
    try output.span.bytes.extracting(0..<count).withUnsafeBytes(body)
  }

  private func inflate(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(RPCError) -> Int {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { throw Self.malformed }
    let stream = preparedReader()
    stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(bytes.count)
    var count = 0
    // One byte above the limit shows that it is exceeded.
    let most = limit + 1
    while true {
      let room = min(most, count == 0 ? min(4 * bytes.count + 64, Self.keptCapacity) : 2 * output.count)
      resizeOutput(max(room, count))
      let (status, written) = output.withUnsafeMutableBufferPointer { buffer in
        stream.pointee.next_out = buffer.baseAddress! + count
        stream.pointee.avail_out = UInt32(buffer.count - count)
        let status = CZlib.inflate(stream, Z_NO_FLUSH)
        return (status, buffer.count - count - Int(stream.pointee.avail_out))
      }
      count += written
      if count > limit {
        throw RPCError(.resourceExhausted, "a message is larger than the allowed \(limit) bytes when decompressed")
      }
      switch status {
      case Z_STREAM_END where stream.pointee.avail_in == 0: return count
      case Z_OK where stream.pointee.avail_out == 0: continue
      default: throw Self.malformed
      }
    }
  }

  private static var malformed: RPCError { RPCError(.internal, "a message's compression is broken") }

  private func preparedReader() -> UnsafeMutablePointer<z_stream> {
    if let reader {
      inflateReset(reader)
      return reader
    }
    let stream = Self.makeStream()
    guard emcp_gzip_reader(stream) == Z_OK else { fatalError("zlib has no memory") }
    reader = stream
    return stream
  }

  private static func makeStream() -> UnsafeMutablePointer<z_stream> {
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    return stream
  }

  // MARK: Memory

  private func resizeOutput(_ count: Int) {
    if output.count < count { output.append(contentsOf: repeatElement(0, count: count - output.count)) }
  }

  private func giveBackMemory() {
    if output.count > Self.keptCapacity { output = [] }
  }
}
