@testable import RPCRuntime
import WireCodec

// What the fuzzers and the replay must find. Never part of `FuzzTarget.all`.
extension FuzzTarget {
  /// A reader of frames that loses what is behind a message when a piece ends right after a prefix.
  static let brokenFrames = FuzzTarget(name: "broken-frames") { bytes in
    try compareFrames(bytes) { piece, assembler, deliver in
      let keeps = assembler.bufferedBytes == WireFrame.prefixLength ? Int(piece.count / 2) : piece.count
      try assembler.append(UnsafeRawBufferPointer(rebasing: piece.prefix(keeps)), deliver: deliver)
    }
  }

  /// A writer of `grpc-message` that leaves `%` as it is.
  static let brokenPercentCoding = FuzzTarget(name: "broken-percent-coding") { bytes in
    let text = PercentCoding.decode(bytes)
    let encoded = text.split(separator: "%", omittingEmptySubsequences: false).map { PercentCoding.encode(String($0)) }
    try checkPercentCoding(text, Array(encoded.joined(separator: [UInt8(ascii: "%")])))
  }

  /// Trusts a length and reads beyond the bytes: only AddressSanitizer sees it.
  static let brokenOverread = FuzzTarget(name: "broken-overread") { bytes in
    guard bytes.count >= 4, bytes[0] == UInt8(ascii: "l"), let base = bytes.baseAddress else { return }
    let claimed = Int(bytes[1])
    var sum = 0
    for index in 0..<claimed { sum += Int((base + 2 + index).load(as: UInt8.self)) }
    if sum < 0 { throw FuzzFault("never") }
  }
}
