/// A text part made ready for the wire: line ends as CRLF, and the lightest encoding that carries it.
struct BodyText {
  enum Encoding: String {
    case sevenBit = "7bit"
    case quotedPrintable = "quoted-printable"
    case base64
  }

  let canonical: [UInt8]
  let encoding: Encoding

  init(_ text: String) {
    canonical = Self.withCRLF(text)
    encoding = Self.encoding(for: canonical)
  }

  func append(to output: inout [UInt8]) {
    switch encoding {
    case .sevenBit: output.append(contentsOf: canonical)
    case .quotedPrintable: QuotedPrintable.append(canonical, to: &output)
    case .base64: MailBase64.appendLines(canonical, to: &output)
    }
  }

  private static func withCRLF(_ text: String) -> [UInt8] {
    var text = text
    return text.withUTF8 { bytes in
      var output: [UInt8] = []
      output.reserveCapacity(bytes.count + bytes.count / 32 + 2)
      var previous: UInt8 = 0
      for byte in bytes {
        switch byte {
        case 0x0A where previous == 0x0D: break
        case 0x0A, 0x0D:
          output.append(0x0D)
          output.append(0x0A)
        default: output.append(byte)
        }
        previous = byte
      }
      return output
    }
  }

  /// 7bit for plain short lines; else quoted-printable or base64, whichever is shorter.
  private static func encoding(for text: [UInt8]) -> Encoding {
    var isPlain = true
    var escapes = 0
    var lineStart = 0
    for (index, byte) in text.enumerated() {
      if byte == 0x0D {
        isPlain = isPlain && isPlainLine(text[lineStart..<index])
        lineStart = index + 2
      } else if byte != 0x0A, !(0x20...0x7E ~= byte), byte != 0x09 {
        isPlain = false
        escapes += 1
      } else if byte == UInt8(ascii: "=") {
        escapes += 1
      }
    }
    if lineStart < text.count { isPlain = isPlain && isPlainLine(text[lineStart...]) }
    if isPlain { return .sevenBit }
    return text.count + 2 * escapes <= MailBase64.linesSize(text.count) ? .quotedPrintable : .base64
  }

  /// A line that nothing on the way has cause to change: short, without trailing space, not `From …` and not a dot.
  private static func isPlainLine(_ line: ArraySlice<UInt8>) -> Bool {
    guard let last = line.last, let first = line.first else { return true }
    return line.count <= HeaderWriter.preferredLine && last != 0x20 && last != 0x09 && first != UInt8(ascii: ".")
      && !line.starts(with: "From ".utf8)
  }
}
