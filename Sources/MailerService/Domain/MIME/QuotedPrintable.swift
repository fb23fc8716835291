/// Quoted-printable (RFC 2045 §6.7) for text whose line ends are already CRLF.
enum QuotedPrintable {
  /// RFC 2045 §6.7(5), in characters, a soft line break's `=` included.
  static let maximumLine = 76

  static func append(_ text: [UInt8], to output: inout [UInt8]) {
    output.reserveCapacity(output.count + text.count + text.count / 8)
    var lineStart = 0
    while lineStart < text.count {
      var lineEnd = lineStart
      while lineEnd < text.count, text[lineEnd] != UInt8(ascii: "\r") { lineEnd += 1 }
      appendLine(text[lineStart..<lineEnd], to: &output)
      guard lineEnd < text.count else { return }
      output.append(UInt8(ascii: "\r"))
      output.append(UInt8(ascii: "\n"))
      lineStart = lineEnd + 2
    }
  }

  private static func appendLine(_ line: ArraySlice<UInt8>, to output: inout [UInt8]) {
    var column = 0
    for index in line.indices {
      let byte = line[index]
      let isLast = index == line.endIndex - 1
      let bare = isBare(byte, isFirst: column == 0, isLast: isLast)
      let width = bare ? 1 : 3
      // The last character of a line needs no room for a soft break after it.
      if column + width > (isLast ? maximumLine : maximumLine - 1) {
        output.append(contentsOf: "=\r\n".utf8)
        column = 0
      }
      // Asked again: after a soft break this character begins a line.
      if bare, isBare(byte, isFirst: column == 0, isLast: isLast) {
        output.append(byte)
        column += 1
      } else {
        output.append(UInt8(ascii: "="))
        output.append(HexDigits.digit(byte >> 4))
        output.append(HexDigits.digit(byte & 15))
        column += 3
      }
    }
  }

  /// Spaces and tabs may not end a line (§6.7(3)); a leading `F` or `.` is hidden from mailbox files and from SMTP
  /// servers that mishandle dots.
  private static func isBare(_ byte: UInt8, isFirst: Bool, isLast: Bool) -> Bool {
    switch byte {
    case UInt8(ascii: "="): false
    case 0x20, 0x09: !isLast
    case UInt8(ascii: "F"), UInt8(ascii: "."): !isFirst
    default: 0x21...0x7E ~= byte
    }
  }
}
