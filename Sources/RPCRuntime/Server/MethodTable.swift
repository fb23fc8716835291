import Glibc

/// The methods of a server by the bytes of their path: a call finds its method without making a string.
///
/// Open addressing at a load of at most one half; filled before the server listens, only read afterwards.
struct MethodTable {
  private var slots: [ServerMethod?] = Array(repeating: nil, count: 16)
  private(set) var methods: [ServerMethod] = []

  /// - Returns: false when a method with this path is there already.
  mutating func insert(_ method: ServerMethod) -> Bool {
    guard method.descriptor.pathBytes.withUnsafeBytes({ self[$0] }) == nil else { return false }
    methods.append(method)
    if methods.count * 2 > slots.count {
      slots = Array(repeating: nil, count: slots.count * 2)
      for known in methods.dropLast() { place(known) }
    }
    place(method)
    return true
  }

  private mutating func place(_ method: ServerMethod) {
    var index = method.descriptor.pathBytes.withUnsafeBytes(Self.hash) & (slots.count - 1)
    while slots[index] != nil { index = (index + 1) & (slots.count - 1) }
    slots[index] = method
  }

  subscript(path: UnsafeRawBufferPointer) -> ServerMethod? {
    var index = Self.hash(path) & (slots.count - 1)
    while let method = slots[index] {
      if method.descriptor.pathBytes.count == path.count, Self.isEqual(method.descriptor.pathBytes, path) {
        return method
      }
      index = (index + 1) & (slots.count - 1)
    }
    return nil
  }

  private static func isEqual(_ known: [UInt8], _ path: UnsafeRawBufferPointer) -> Bool {
    known.withUnsafeBytes { path.isEmpty || memcmp($0.baseAddress!, path.baseAddress!, path.count) == 0 }
  }

  /// FNV-1a. The keys are the program's own, and a lookup that misses ends at the first free slot.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return Int(truncatingIfNeeded: hash >> 1)
  }
}
