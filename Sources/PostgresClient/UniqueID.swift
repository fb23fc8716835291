/// The 16 bytes of a `uuid` column.
package struct UniqueID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  private static let hyphens: Set<Int> = [8, 13, 18, 23]

  package static func < (left: UniqueID, right: UniqueID) -> Bool {
    (left.high, left.low) < (right.high, right.low)
  }

  package var description: String {
    String(unsafeUninitializedCapacity: 36) { buffer in
      var position = 0
      for word in [high, low] {
        for shift in stride(from: 60, through: 0, by: -4) {
          if Self.hyphens.contains(position) {
            buffer[position] = UInt8(ascii: "-")
            position += 1
          }
          let nibble = UInt8(word >> UInt64(shift) & 15)
          buffer[position] = nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
          position += 1
        }
      }
      return 36
    }
  }
}
