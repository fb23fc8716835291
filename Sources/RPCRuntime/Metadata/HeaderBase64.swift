/// The base64 of binary metadata: emitted without padding, read with or without it.
///
/// Spec: gRPC over HTTP/2, "Binary-Header". A value may be a comma-joined list; `Metadata` splits it.
enum HeaderBase64 {
  private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

  /// 0…63, or 255 for a byte that is not of the alphabet.
  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    alphabet.withUTF8Buffer { for (value, character) in $0.enumerated() { table[Int(character)] = UInt8(value) } }
    return table
  }()

  static func encodedCount(_ count: Int) -> Int { (count * 4 + 2) / 3 }

  static func encode(_ bytes: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(encodedCount(bytes.count))
    alphabet.withUTF8Buffer { alphabet in
      var index = 0
      while index + 2 < bytes.count {
        let group = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
        for shift in [18, 12, 6, 0] { result.append(alphabet[group >> shift & 63]) }
        index += 3
      }
      switch bytes.count - index {
      case 1:
        let group = Int(bytes[index]) << 16
        for shift in [18, 12] { result.append(alphabet[group >> shift & 63]) }
      case 2:
        let group = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8
        for shift in [18, 12, 6] { result.append(alphabet[group >> shift & 63]) }
      default: break
      }
    }
    return result
  }

  /// Nil for a byte outside the alphabet, a length that base64 cannot have, or padding that does not fill a group.
  static func decode(_ text: some BidirectionalCollection<UInt8>) -> [UInt8]? {
    var significant = text.count
    var padding = 0
    for byte in text.suffix(2).reversed() where byte == UInt8(ascii: "=") {
      padding += 1
    }
    significant -= padding
    if padding > 0, text.count % 4 != 0 { return nil }
    if significant % 4 == 1 { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(significant * 3 / 4)
    var accumulator: UInt32 = 0
    var bits = 0
    for byte in text.prefix(significant) {
      let value = values[Int(byte)]
      if value == 255 { return nil }
      accumulator = accumulator << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        result.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
      }
    }
    return result
  }
}
