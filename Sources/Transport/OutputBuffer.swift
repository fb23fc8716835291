/// Bytes that wait for the socket, contiguous. Appends at the end, leaves from the front without moving the rest.
struct OutputBuffer {
  private var bytes: [UInt8] = []
  private var start = 0
  /// Capacity that an emptied buffer keeps, so that an idle connection holds little.
  static let keptCapacity = 16 << 10

  var count: Int { bytes.count - start }
  var isEmpty: Bool { bytes.count == start }

  mutating func append(_ added: UnsafeRawBufferPointer) {
    if start > 0, start >= bytes.count / 2 {
      bytes.removeSubrange(..<start)
      start = 0
    }
    bytes.append(contentsOf: added)
  }

  /// Lends the bytes to `body`, which returns how many from the front it has disposed of.
  mutating func consume(_ body: (UnsafeRawBufferPointer) throws -> Int) rethrows {
    let taken = try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    start += taken
    guard start == bytes.count else { return }
    start = 0
    if bytes.capacity > Self.keptCapacity { bytes = [] } else { bytes.removeAll(keepingCapacity: true) }
  }

  mutating func removeAll() {
    bytes = []
    start = 0
  }
}
