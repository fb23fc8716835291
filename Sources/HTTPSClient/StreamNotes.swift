/// Reads from libcurl's commentary whether an HTTP/2 server has said that it did not process a request's stream.
///
/// libcurl 7.88 tells a refused stream, or a GOAWAY that does not cover it, by no code and no option; only its commentary names them
/// ("Using Stream ID: 3", "recveived GOAWAY, error=0, last_stream=1", "REFUSED_STREAM, retrying a fresh connect"). A version with other
/// words is not understood, which errs on the safe side: the request counts as unknown. So does a stream that is refused on a connection
/// that was used before, which 7.88 does not mention.
struct StreamNotes: Equatable {
  private var stream: UInt32?
  private var lastProcessed: UInt32?
  private var wasRefused = false

  /// Whether the server has promised that it did not act on the stream (RFC 9113, sections 6.8 and 8.7).
  var isUnprocessed: Bool {
    if wasRefused { return true }
    guard let stream, let lastProcessed else { return false }
    return stream > lastProcessed
  }

  /// Takes one line, with or without its line end.
  mutating func take(_ line: UnsafeRawBufferPointer) {
    if line.starts(with: "Using Stream ID: ".utf8) {
      stream = Self.number(line[17...])
    } else if line.starts(with: "REFUSED_STREAM, ".utf8) {
      wasRefused = true
    } else if line.starts(with: "rec".utf8), let start = Self.end(of: "GOAWAY, error=", in: line),
      let last = Self.end(of: "last_stream=", in: UnsafeRawBufferPointer(rebasing: line[start...]))
    {
      lastProcessed = Self.number(line[(start + last)...])
    }
  }

  private static func end(of word: StaticString, in line: UnsafeRawBufferPointer) -> Int? {
    let word = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard line.count >= word.count else { return nil }
    for start in 0...(line.count - word.count) where line[start...].starts(with: word) { return start + word.count }
    return nil
  }

  private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt32? {
    UInt32(String(decoding: digits.prefix { (0x30...0x39).contains($0) }, as: UTF8.self))
  }
}
