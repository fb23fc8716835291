import WireCodec

/// Encodes the messages that a server or a channel sends: one memory for all of its connections, so that a message of the
/// usual size allocates nothing and an idle connection holds none. Not Sendable; lives on its owner's loop.
/// State without exclusivity checks: see `CallStream`.
final class FrameWriter {
  @exclusivity(unchecked) private var writer = WireWriter(capacity: 1024)

  /// Memory above this is given back when the next message is encoded: a mebibyte with what lies around it. Fresh memory
  /// costs a page fault for each 4 KiB, which is more than the copy.
  static let keptCapacity = 1024 * 1024 + 64 * 1024

  /// Lends a message's bytes, with their prefix.
  func withFrame<R>(_ message: some WireMessage, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    writer.reset(keeping: Self.keptCapacity)
    writer.frame(message)
    return writer.withBytes(body)
  }

  /// Whether a message is so large that it is written where it stays.
  static func isLarge(_ message: some WireMessage) -> Bool { message.encodedSizeHint >= 256 << 10 }

  /// A message's bytes, with their prefix.
  func frame(_ message: some WireMessage) -> [UInt8] {
    Self.isLarge(message) ? message.frameBytes() : withFrame(message) { [UInt8]($0) }
  }
}
