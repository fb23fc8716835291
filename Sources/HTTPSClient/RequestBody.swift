/// A request's body: bytes in memory, in one piece or several that are sent one after the other without being joined.
package struct RequestBody: Sendable {
  package let chunks: [[UInt8]]
  /// The number of bytes in all.
  package let count: Int

  /// No body.
  package static let none = RequestBody(chunks: [])

  package init(_ bytes: [UInt8]) {
    self.init(chunks: [bytes])
  }

  package init(chunks: [[UInt8]]) {
    self.chunks = chunks.filter { !$0.isEmpty }
    self.count = self.chunks.reduce(0) { $0 + $1.count }
  }
}

/// Reads a body from its start to its end, once: there is no way back, which is what keeps libcurl from sending a body again.
struct RequestBodyReader {
  private let chunks: [[UInt8]]
  private var chunk = 0
  private var offset = 0

  init(_ body: RequestBody) {
    self.chunks = body.chunks
  }

  /// Fills the buffer as far as the body goes and returns how many bytes it wrote; 0 at the end.
  mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    var written = 0
    while chunk < chunks.count && written < buffer.count {
      let wanted = min(chunks[chunk].count - offset, buffer.count - written)
      chunks[chunk].withUnsafeBytes { bytes in
        UnsafeMutableRawBufferPointer(rebasing: buffer[written..<(written + wanted)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + wanted)]))
      }
      written += wanted
      offset += wanted
      if offset == chunks[chunk].count {
        chunk += 1
        offset = 0
      }
    }
    return written
  }
}
