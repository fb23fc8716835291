/// What may stand in a header (RFC 5322 §2.2, §3.2).
package enum HeaderText {
  /// No C0 or C1 control, no DEL, none of the line breaks that only some software knows: the one gate against injected
  /// headers.
  package static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x00...0x1F, 0x7F...0x9F, 0x2028, 0x2029: false
    default: true
    }
  }

  package static func isSafe(_ text: String) -> Bool {
    text.unicodeScalars.allSatisfy(isSafe)
  }

  /// `atext` of RFC 5322 §3.2.3.
  package static func isAtomText(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "a"..."z", "A"..."Z", "0"..."9": true
    case "!", "#", "$", "%", "&", "'", "*", "+", "-", "/", "=", "?", "^", "_", "`", "{", "|", "}", "~": true
    default: false
    }
  }

  /// `token` of RFC 2045 §5.1.
  package static func isToken(_ text: some StringProtocol) -> Bool {
    !text.isEmpty
      && text.unicodeScalars.allSatisfy { scalar in
        guard scalar.value > 0x20, scalar.value < 0x7F else { return false }
        switch scalar {
        case "(", ")", "<", ">", "@", ",", ";", ":", "\\", "\"", "/", "[", "]", "?", "=": return false
        default: return true
        }
      }
  }

  package static func isPrintableASCII(_ text: some StringProtocol) -> Bool {
    text.utf8.allSatisfy { 0x20...0x7E ~= $0 }
  }

  /// Has what an encoded word (RFC 2047 §2) begins with, which a reader may decode.
  package static func looksEncoded(_ text: some StringProtocol) -> Bool {
    var last: UInt8 = 0
    return text.utf8.contains { byte in
      defer { last = byte }
      return last == UInt8(ascii: "=") && byte == UInt8(ascii: "?")
    }
  }

  /// A quoted string (RFC 5322 §3.2.4) with its quotes.
  package static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { result.unicodeScalars.append("\\") }
      result.unicodeScalars.append(scalar)
    }
    result += "\""
    return result
  }

  package static func trimmingSpaces(_ text: String) -> String {
    guard text.utf8.first == 0x20 || text.utf8.last == 0x20 else { return text }
    var slice = text.unicodeScalars[...]
    while slice.first == " " { slice.removeFirst() }
    while slice.last == " " { slice.removeLast() }
    return String(slice)
  }
}
