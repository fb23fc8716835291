/// What stands between two quotation marks, found without looking at each byte alone.
struct StringScan {
  /// The index of the closing quotation mark.
  var end = 0
  var hasEscapes = false
}

/// The first byte in `start..<end` that ends or interrupts a JSON string: `"`, `\` or a control character.
///
/// Eight bytes at a time: with bytes in little-endian order the lowest bit found is exact, those above it may be borrows.
func firstStringInterruption(_ base: UnsafeRawPointer, _ start: Int, _ end: Int) -> Int {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let highs: UInt64 = 0x8080_8080_8080_8080
  var index = start
  while index &+ 8 <= end {
    let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
    let quote = word ^ (ones &* 0x22)
    let backslash = word ^ (ones &* 0x5C)
    let found =
      (((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | ((word &- (ones &* 0x20)) & ~word)) & highs
    if found != 0 { return index &+ found.trailingZeroBitCount >> 3 }
    index &+= 8
  }
  while index < end {
    let byte = base.load(fromByteOffset: index, as: UInt8.self)
    if byte == 0x22 || byte == 0x5C || byte < 0x20 { return index }
    index &+= 1
  }
  return end
}
