/// The percent coding of `grpc-message`.
///
/// Encoding leaves space to `~` alone except `%` and a space at either end, which a field's value must not have (RFC
/// 9113, 8.2.1); decoding never fails: what is not a valid escape stays as it is, and bytes that are not UTF-8 are
/// repaired. Spec: gRPC over HTTP/2, "Status-Message".
enum PercentCoding {
  private static let hex = Array("0123456789ABCDEF".utf8)

  static func encode(_ text: String) -> [UInt8] {
    var result: [UInt8] = []
    let last = text.utf8.count - 1
    result.reserveCapacity(last + 1)
    for (index, byte) in text.utf8.enumerated() {
      let isEdge = index == 0 || index == last
      if byte > 0x20 || byte == 0x20 && !isEdge, byte <= 0x7e, byte != UInt8(ascii: "%") {
        result.append(byte)
      } else {
        result.append(UInt8(ascii: "%"))
        result.append(hex[Int(byte >> 4)])
        result.append(hex[Int(byte & 15)])
      }
    }
    return result
  }

  static func decode(_ bytes: some RandomAccessCollection<UInt8>) -> String {
    guard bytes.contains(UInt8(ascii: "%")) else { return String(decoding: bytes, as: UTF8.self) }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2, let high = digit(rest.first!),
        let low = digit(rest.dropFirst().first!)
      {
        result.append(high << 4 | low)
        rest = rest.dropFirst(2)
      } else {
        result.append(byte)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func digit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
