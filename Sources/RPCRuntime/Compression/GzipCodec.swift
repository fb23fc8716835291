import EventLoop

/// gzip for the messages of a server's or a channel's calls. zlib's state is a quarter of a megabyte, too much for a
/// connection, and no message needs that of another.
///
/// A message that takes one slice of work is dealt with at once. A larger one takes its slices between the loop's other
/// work, and one such message a direction at a time: neither a bomb nor an honest report holds up the other calls, and a
/// hundred bombs have no more memory than one. Not Sendable; lives on its owner's loop.
final class GzipCodec {
  private var reader: GzipReader?
  private var writer: GzipWriter?
  private let largeReads = Turns()
  private let largeWrites = Turns()

  // MARK: Compressing

  /// Compresses a message that has its prefix in front.
  ///
  /// - Returns: what is to be sent, with a prefix, too; nil when the message does not get smaller, or is too large to be
  ///   compressed in one go.
  func compressAtOnce(_ framed: UnsafeRawBufferPointer) -> [UInt8]? {
    let writer = self.writer ?? GzipWriter()
    self.writer = writer
    guard framed.count <= GzipWriter.inputSlice else { return nil }
    writer.begin()
    if case .done(let bytes) = writer.step(framed) { return bytes }
    return nil
  }

  /// Compresses a message of any size that has its prefix in front, while the loop goes on.
  ///
  /// - Returns: what is to be sent, with a prefix, too; nil when the message does not get smaller.
  /// - Throws: `CancellationError`.
  func compress(_ framed: [UInt8], on reactor: Reactor) async throws -> [UInt8]? {
    guard framed.count > GzipWriter.inputSlice else { return framed.withUnsafeBytes { compressAtOnce($0) } }
    try await largeWrites.take(on: reactor)
    defer { largeWrites.pass() }
    let writer = GzipWriter()
    while true {
      switch framed.withUnsafeBytes({ writer.step($0) }) {
      case .done(let bytes): return bytes
      case .useless: return nil
      case .more: await reactor.yield()
      }
      try Task.checkCancellation()
    }
  }

  // MARK: Decompressing

  /// Decompresses a message that takes one slice.
  ///
  /// - Returns: false, without calling `body`, when it takes more.
  /// - Throws: as `GzipReader.step`; what `body` throws.
  func decompressAtOnce(
    _ bytes: UnsafeRawBufferPointer, limit: Int, _ body: (UnsafeRawBufferPointer) throws(RPCError) -> Void
  ) throws(RPCError) -> Bool {
    let reader = self.reader ?? GzipReader()
    self.reader = reader
    defer { reader.giveBackMemory() }
    reader.begin(limit: limit)
    guard try reader.step(bytes) else { return false }
    try reader.withOutput(body)
    return true
  }

  /// Decompresses a message of any size, while the loop goes on.
  ///
  /// - Parameters:
  ///   - step: gives the reader it is called with all of the message's bytes, and returns what that returns.
  ///   - interrupted: what the caller throws when its task is cancelled.
  /// - Throws: as `GzipReader.step`; what the closures throw.
  func decompress(
    limit: Int, on reactor: Reactor, step: (GzipReader) throws(RPCError) -> Bool,
    interrupted: (any Error) -> RPCError, _ body: (UnsafeRawBufferPointer) throws(RPCError) -> Void
  ) async throws(RPCError) {
    do { try await largeReads.take(on: reactor) } catch { throw interrupted(error) }
    defer { largeReads.pass() }
    let reader = GzipReader()
    reader.begin(limit: limit)
    while try !step(reader) {
      await reactor.yield()
      if Task.isCancelled { throw interrupted(CancellationError()) }
    }
    try reader.withOutput(body)
  }
}
