import TLSSession

/// Base64 as a send needs it: lines of 76 for MIME (RFC 2045 §6.8), and base64url without padding for Gmail's `raw`
/// (RFC 4648 §5), appended to what is there.
enum MailBase64 {
  /// Bytes in a line of 76 characters.
  private static let lineBytes = 57
  /// Bytes encoded at a time, whole lines and whole groups of three: an attachment's text is never there twice.
  static let pieceBytes = lineBytes * 1024

  /// The size of `appendLines`' output for `count` bytes, line ends included.
  static func linesSize(_ count: Int) -> Int {
    let full = count / lineBytes
    let rest = count % lineBytes
    return full * 78 + (rest > 0 ? Base64.encodedCount(rest, .standard) + 2 : 0)
  }

  /// Appends `bytes` in lines of 76 characters, each ended by CRLF.
  static func appendLines(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    withPieces(of: bytes) { source in
      append(size: linesSize(source.count), to: &output) { target in
        var written = 0
        for start in stride(from: 0, to: source.count, by: lineBytes) {
          let line = source[start..<min(start + lineBytes, source.count)]
          written += encode(line, .standard, into: target[written...])
          target[written] = UInt8(ascii: "\r")
          target[written + 1] = UInt8(ascii: "\n")
          written += 2
        }
        return written
      }
    }
  }

  /// Appends `bytes` in one run, padded: an encoded-word of RFC 2047 §4.1.
  static func append(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    append(bytes, .standard, to: &output)
  }

  /// Appends `bytes` in the URL-safe alphabet without padding.
  static func appendURLSafe(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    append(bytes, .urlSafe, to: &output)
  }

  private static func append(_ bytes: some Collection<UInt8>, _ alphabet: Base64.Alphabet, to output: inout [UInt8]) {
    withPieces(of: bytes) { source in
      append(size: Base64.encodedCount(source.count, alphabet), to: &output) { target in
        encode(source[...], alphabet, into: target[...])
      }
    }
  }

  private static func encode(
    _ source: Slice<UnsafeBufferPointer<UInt8>>, _ alphabet: Base64.Alphabet,
    into target: Slice<UnsafeMutableBufferPointer<UInt8>>
  ) -> Int {
    Base64.encode(
      UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: source)), alphabet,
      into: UnsafeMutableBufferPointer(rebasing: target))
  }

  // MARK: Buffers

  private static func withPieces(of bytes: some Collection<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    func pieces(_ source: UnsafeBufferPointer<UInt8>) {
      for start in stride(from: 0, to: source.count, by: pieceBytes) {
        body(UnsafeBufferPointer(rebasing: source[start..<min(start + pieceBytes, source.count)]))
      }
    }
    if bytes.withContiguousStorageIfAvailable(pieces) == nil { Array(bytes).withUnsafeBufferPointer(pieces) }
  }

  private static func append(
    size: Int, to output: inout [UInt8], _ body: (UnsafeMutableBufferPointer<UInt8>) -> Int
  ) {
    output.append(
      contentsOf: [UInt8](unsafeUninitializedCapacity: size) { buffer, count in count = body(buffer) })
  }
}
