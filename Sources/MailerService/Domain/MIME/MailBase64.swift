/// Base64 in the two alphabets that a send needs: lines of 76 for MIME (RFC 2045 §6.8), and base64url without padding
/// for Gmail's `raw` (RFC 4648 §5).
enum MailBase64 {
  private static let standard: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  private static let urlSafe: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

  /// Bytes in a line of 76 characters.
  private static let lineBytes = 57
  /// Bytes encoded at a time, whole lines and whole groups of three: an attachment's text is never there twice.
  static let pieceBytes = lineBytes * 1024

  /// The size of `appendLines`' output for `count` bytes, line ends included.
  static func linesSize(_ count: Int) -> Int {
    let full = count / lineBytes
    let rest = count % lineBytes
    return full * 78 + (rest > 0 ? (rest + 2) / 3 * 4 + 2 : 0)
  }

  /// Appends `bytes` in lines of 76 characters, each ended by CRLF.
  static func appendLines(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    withPieces(of: bytes) { source in
      append(size: linesSize(source.count), to: &output) { target in
        var written = 0
        var start = 0
        while start < source.count {
          let end = min(start + lineBytes, source.count)
          written += encode(source, start..<end, standard, padded: true, into: target + written)
          target[written] = UInt8(ascii: "\r")
          target[written + 1] = UInt8(ascii: "\n")
          written += 2
          start = end
        }
        return written
      }
    }
  }

  /// Appends `bytes` in one run, padded: an encoded-word of RFC 2047 §4.1.
  static func append(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    withContiguous(bytes) { source in
      append(size: (source.count + 2) / 3 * 4, to: &output) { target in
        encode(source, 0..<source.count, standard, padded: true, into: target)
      }
    }
  }

  /// Appends `bytes` in the URL-safe alphabet without padding.
  static func appendURLSafe(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    withPieces(of: bytes) { source in
      append(size: (source.count + 2) / 3 * 4, to: &output) { target in
        encode(source, 0..<source.count, urlSafe, padded: false, into: target)
      }
    }
  }

  // MARK: Buffers

  private static func withContiguous(_ bytes: some Collection<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    if bytes.withContiguousStorageIfAvailable(body) == nil {
      Array(bytes).withUnsafeBufferPointer(body)
    }
  }

  private static func withPieces(of bytes: some Collection<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    withContiguous(bytes) { source in
      for start in stride(from: 0, to: source.count, by: pieceBytes) {
        body(UnsafeBufferPointer(rebasing: source[start..<min(start + pieceBytes, source.count)]))
      }
    }
  }

  private static func append(size: Int, to output: inout [UInt8], _ body: (UnsafeMutablePointer<UInt8>) -> Int) {
    guard size > 0 else { return }
    output.append(
      contentsOf: [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        guard let base = buffer.baseAddress else { return }
        count = body(base)
      })
  }

  private static func encode(
    _ source: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ alphabet: StaticString, padded: Bool,
    into target: UnsafeMutablePointer<UInt8>
  ) -> Int {
    let table = alphabet.utf8Start
    var read = range.lowerBound
    var written = 0
    while read + 3 <= range.upperBound {
      let group = UInt32(source[read]) << 16 | UInt32(source[read + 1]) << 8 | UInt32(source[read + 2])
      target[written] = table[Int(group >> 18)]
      target[written + 1] = table[Int(group >> 12 & 63)]
      target[written + 2] = table[Int(group >> 6 & 63)]
      target[written + 3] = table[Int(group & 63)]
      read += 3
      written += 4
    }
    let rest = range.upperBound - read
    guard rest > 0 else { return written }
    let group = UInt32(source[read]) << 16 | (rest == 2 ? UInt32(source[read + 1]) << 8 : 0)
    target[written] = table[Int(group >> 18)]
    target[written + 1] = table[Int(group >> 12 & 63)]
    written += 2
    if rest == 2 {
      target[written] = table[Int(group >> 6 & 63)]
      written += 1
    }
    if padded {
      for _ in rest..<3 {
        target[written] = UInt8(ascii: "=")
        written += 1
      }
    }
    return written
  }
}
