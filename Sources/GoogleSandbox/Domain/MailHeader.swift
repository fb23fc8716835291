import TLSSession

/// The header of an RFC 5322 message, field by field, with where each stands in the bytes.
struct MailHeader {
  struct Field {
    let name: String
    /// Unfolded, without the white space around it.
    let value: String
    /// The field with its name and its line end.
    let range: Range<Int>
  }

  let fields: [Field]
  /// Where the body begins.
  let bodyStart: Int

  /// The longest header that is looked at; Gmail's own limit is of this order.
  static let maxBytes = 512 << 10

  /// Nil when the bytes do not begin with a header: a line without a colon, or none at all.
  init?(_ bytes: [UInt8]) {
    var fields: [Field] = []
    var position = 0
    let limit = min(bytes.count, Self.maxBytes)
    while position < limit {
      let (lineEnd, next) = Self.line(in: bytes, from: position)
      if lineEnd == position {
        guard !fields.isEmpty else { return nil }
        self.fields = fields
        bodyStart = next
        return
      }
      guard let colon = bytes[position..<lineEnd].firstIndex(of: UInt8(ascii: ":")), colon > position,
        bytes[position..<colon].allSatisfy({ $0 > 0x20 && $0 < 0x7f })
      else { return nil }
      var value = Array(bytes[(colon + 1)..<lineEnd])
      var end = next
      while end < limit, bytes[end] == 0x20 || bytes[end] == 0x09 {
        let (foldEnd, foldNext) = Self.line(in: bytes, from: end)
        value += bytes[end..<foldEnd]
        end = foldNext
      }
      fields.append(
        Field(
          name: String(decoding: bytes[position..<colon], as: UTF8.self),
          value: String(decoding: value, as: UTF8.self).trimmingSpaces, range: position..<end))
      position = end
    }
    // A header without a body is a message too.
    guard position >= bytes.count, !fields.isEmpty else { return nil }
    self.fields = fields
    bodyStart = bytes.count
  }

  func values(_ name: String) -> [String] {
    fields.filter { $0.name.utf8.count == name.utf8.count && $0.name.lowercased() == name }.map(\.value)
  }

  func first(_ name: String) -> String? { values(name).first }

  /// Every address in the fields of a name, lower-cased.
  func addresses(_ name: String) -> [String] { values(name).flatMap(MailAddressList.addresses) }

  /// The end of a line without its line end, and the beginning of the next one.
  private static func line(in bytes: [UInt8], from start: Int) -> (end: Int, next: Int) {
    guard let newline = bytes[start...].firstIndex(of: 0x0a) else { return (bytes.count, bytes.count) }
    let end = newline > start && bytes[newline - 1] == 0x0d ? newline - 1 : newline
    return (end, newline + 1)
  }
}

enum MailAddressList {
  /// The addresses of `Name <a@b>, "Last, First" <c@d>, group: e@f;`, without names and comments; what stands in the place
  /// of one is among them, be it an address or not.
  static func addresses(_ text: String) -> [String] {
    var result: [String] = []
    var current = ""
    var angle: String?
    var isQuoted = false
    var isEscaped = false
    var depth = 0
    var isInAngle = false
    func append(_ character: Unicode.Scalar) {
      if isInAngle { angle?.unicodeScalars.append(character) } else { current.unicodeScalars.append(character) }
    }
    func finish() {
      let address = (angle ?? current).trimmingSpaces.lowercased()
      if !address.isEmpty { result.append(address) }
      current = ""
      angle = nil
    }
    for character in text.unicodeScalars {
      if isEscaped {
        isEscaped = false
        if isQuoted { append(character) }
        continue
      }
      if isQuoted {
        // A local part may be quoted, so quotes and all; a name is dropped with them.
        append(character)
        if character == "\\" { isEscaped = true } else if character == "\"" { isQuoted = false }
        continue
      }
      switch character {
      case "\\": isEscaped = true
      case "\"" where depth == 0:
        isQuoted = true
        append(character)
      case "(": depth += 1
      case ")": depth = max(0, depth - 1)
      case _ where depth > 0: break
      case "<": (isInAngle, angle) = (true, "")
      case ">": isInAngle = false
      case ",", ";": finish()
      case ":" where !isInAngle: current = ""
      default: append(character)
      }
    }
    finish()
    return result
  }
}

enum EncodedWords {
  /// RFC 2047's encoded words in UTF-8 or ASCII become text; others stay as they are.
  static func decode(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "=")), text.contains("=?") else { return text }
    var result = ""
    var pendingSpace = ""
    var lastWasEncoded = false
    for piece in text.split(separator: " ", omittingEmptySubsequences: false) {
      if let word = word(piece) {
        if !lastWasEncoded { result += pendingSpace }
        result += word
        lastWasEncoded = true
      } else {
        result += pendingSpace + piece
        lastWasEncoded = false
      }
      pendingSpace = " "
    }
    return result
  }

  private static func word(_ piece: Substring) -> String? {
    guard piece.hasPrefix("=?"), piece.hasSuffix("?="), piece.utf8.count > 4 else { return nil }
    let parts = piece.dropFirst(2).dropLast(2).split(separator: "?", omittingEmptySubsequences: false)
    guard parts.count == 3, ["utf-8", "us-ascii"].contains(parts[0].lowercased()) else { return nil }
    let bytes: [UInt8]?
    switch parts[1].lowercased() {
    case "b": bytes = Base64.decode(parts[2], .standard)
    case "q": bytes = quoted(parts[2])
    default: bytes = nil
    }
    return bytes.flatMap { String(validating: $0, as: UTF8.self) }
  }

  private static func quoted(_ text: Substring) -> [UInt8]? {
    var bytes: [UInt8] = []
    var iterator = text.utf8.makeIterator()
    while let byte = iterator.next() {
      switch byte {
      case UInt8(ascii: "_"): bytes.append(0x20)
      case UInt8(ascii: "="):
        guard let high = iterator.next(), let low = iterator.next(),
          let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
        else { return nil }
        bytes.append(value)
      default: bytes.append(byte)
      }
    }
    return bytes
  }
}
