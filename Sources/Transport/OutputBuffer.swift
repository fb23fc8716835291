/// Bytes that wait for the socket, contiguous. Appends at the end, leaves from the front without moving the rest.
struct OutputBuffer {
  private var bytes: [UInt8] = []
  private var start = 0
  /// Capacity that an emptied buffer keeps, so that an idle connection holds little: its owner takes more from it.
  static let keptCapacity = 16 << 10

  var count: Int { bytes.count - start }
  var isEmpty: Bool { bytes.count == start }

  /// Whether an append of so many bytes makes it large, and there is not the memory for that yet.
  func outgrows(adding count: Int) -> Bool {
    let needed = self.count + count
    return needed > bytes.capacity && needed > Self.keptCapacity
  }

  /// Goes on in other memory, which is empty.
  mutating func move(to memory: consuming [UInt8]) {
    var memory = memory
    bytes.withUnsafeBytes { memory.append(contentsOf: $0[start...]) }
    bytes = memory
    start = 0
  }

  /// Large memory that is not needed any more.
  mutating func takeSpare() -> [UInt8]? {
    guard bytes.isEmpty, bytes.capacity > Self.keptCapacity else { return nil }
    defer { bytes = [] }
    return bytes
  }

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
    bytes.removeAll(keepingCapacity: true)
  }

  mutating func removeAll() {
    bytes = []
    start = 0
  }
}
