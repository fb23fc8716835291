@testable import RPCRuntime
import WireCodec

extension FuzzTarget {
  /// gRPC's frames, in pieces as the first byte says: both readers of them see the same messages.
  static let frames = FuzzTarget(name: "frames") { bytes in
    try compareFrames(bytes) { piece, assembler, deliver in try assembler.append(piece, deliver: deliver) }
  }

  /// For the broken variant: `append` feeds a piece to the assembler.
  static func compareFrames(
    _ bytes: UnsafeRawBufferPointer,
    append: (UnsafeRawBufferPointer, inout FrameAssembler, (UnsafeRawBufferPointer, Bool) throws -> Void) throws -> Void
  ) throws {
    var input = FuzzInput(bytes)
    let limit = 300
    var assembler = FrameAssembler(maxMessageSize: limit)
    var inbox = MessageInbox(limit: limit)
    inbox.allowsCompressed = true
    var assembled: [[UInt8]] = []
    var taken: [[UInt8]] = []
    var given = 0
    var received = 0
    for piece in input.pieces() {
      received += piece.count
      var refusals = 0
      do {
        try append(piece, &assembler) { assembled.append([$1 ? 1 : 0] + $0) }
      } catch { refusals += 1 }
      do {
        given += try inbox.receive(piece)
      } catch { refusals += 1 }
      while inbox.readyCount > 0 {
        let flag: UInt8 = inbox.isFirstCompressed ? 1 : 0
        inbox.withFirst { taken.append([flag] + $0) }
        given += inbox.removeFirst()
      }
      try require(refusals != 1, "one reader of frames refuses what the other takes")
      try require(assembled == taken, "two readers of frames see different messages")
      if refusals > 0 { return }
      try require(given == received, "\(received) bytes came and \(given) were given back to the window")
      try require(assembler.isAtBoundary == !inbox.isMidMessage, "they differ on where a message ends")
      try require(assembler.bufferedBytes <= limit + WireFrame.prefixLength, "more is kept than one message")
    }
  }

  /// What can be decompressed is compressed and decompressed again to the same; nothing beyond the limit comes out.
  static let gzip = FuzzTarget(name: "gzip") { bytes in
    let limit = 64 * 1024
    var plain: [UInt8] = []
    do {
      plain = try decompressed(bytes, limit: limit)
      try require(plain.count <= limit, "more than the limit was decompressed")
    } catch is RPCError {
      plain = Array(bytes)
    }
    let framed = [0, 0, 0, 0, 0] + plain
    guard let packed = compressed(framed) else { return }
    try require(packed.count < framed.count, "compression made it larger")
    let again = try packed.withUnsafeBytes { raw in
      try decompressed(UnsafeRawBufferPointer(rebasing: raw[5...]), limit: plain.count)
    }
    try require(again == plain, "compressing and decompressing changed a message")
  }

  /// Slice by slice, as a call's message.
  private static func decompressed(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(RPCError) -> [UInt8] {
    let reader = GzipReader()
    reader.begin(limit: limit)
    while try !reader.step(bytes) {}
    var plain: [UInt8] = []
    try reader.withOutput { plain = Array($0) }
    return plain
  }

  private static func compressed(_ framed: [UInt8]) -> [UInt8]? {
    let writer = GzipWriter()
    writer.begin()
    while true {
      switch framed.withUnsafeBytes({ writer.step($0) }) {
      case .done(let bytes): return bytes
      case .useless: return nil
      case .more: continue
      }
    }
  }
}
