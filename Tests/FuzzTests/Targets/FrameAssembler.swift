import WireCodec

/// Puts gRPC messages together from chunks of a stream, cut anywhere: the plain way, which `MessageInbox` is held to.
/// Memory follows the bytes that came, never the length that a prefix claims.
struct FrameAssembler: Sendable {
  /// The largest message that is taken, in bytes, without the prefix.
  let maxMessageSize: Int

  /// The start of a message that is cut: the prefix as far as it came, then the message as far as it came.
  private var partial: [UInt8] = []

  init(maxMessageSize: Int) { self.maxMessageSize = maxMessageSize }

  /// No message is cut: the stream may end here.
  var isAtBoundary: Bool { partial.isEmpty }

  /// Bytes held of a message that is cut.
  var bufferedBytes: Int { partial.count }

  /// Takes the next bytes of the stream and hands over each message that is whole now.
  ///
  /// - Parameter deliver: gets the message, valid during the call only, and whether its flag says compressed.
  /// - Throws: as soon as a prefix claims too much or has an unknown flag, or what `deliver` throws. The stream is of no
  ///   use after that.
  mutating func append(
    _ chunk: UnsafeRawBufferPointer, deliver: (UnsafeRawBufferPointer, _ compressed: Bool) throws -> Void
  ) throws {
    var rest = chunk
    while !partial.isEmpty, !rest.isEmpty {
      try fill(&rest, deliver)
    }
    while rest.count >= WireFrame.prefixLength {
      let (length, compressed) = try prefix(of: rest)
      let end = WireFrame.prefixLength + length
      guard rest.count >= end else { break }
      try deliver(UnsafeRawBufferPointer(rebasing: rest[WireFrame.prefixLength..<end]), compressed)
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
    }
    if !rest.isEmpty { partial.append(contentsOf: rest) }
  }

  /// Moves into `partial` what its prefix, then its message, lacks still; hands the message over once it is whole.
  private mutating func fill(
    _ rest: inout UnsafeRawBufferPointer, _ deliver: (UnsafeRawBufferPointer, Bool) throws -> Void
  ) throws {
    var target = WireFrame.prefixLength
    if partial.count >= target { target += try partial.withUnsafeBytes { try prefix(of: $0).length } }
    let taken = min(target - partial.count, rest.count)
    partial.append(contentsOf: rest[..<taken])
    rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
    guard partial.count >= WireFrame.prefixLength else { return }
    try partial.withUnsafeBytes { raw in
      let (length, compressed) = try prefix(of: raw)
      guard raw.count == WireFrame.prefixLength + length else { return }
      try deliver(UnsafeRawBufferPointer(rebasing: raw[WireFrame.prefixLength...]), compressed)
      target = 0
    }
    if target == 0 { partial = [] }
  }

  private func prefix(of raw: UnsafeRawBufferPointer) throws -> (length: Int, compressed: Bool) {
    guard raw[0] <= 1 else { throw FuzzFault("an unknown flag") }
    let length = Int(UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
    guard length <= maxMessageSize else { throw FuzzFault("a message that is too large") }
    return (length, raw[0] == 1)
  }
}
