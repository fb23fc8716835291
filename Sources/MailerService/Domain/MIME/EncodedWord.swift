/// Encoded-words (RFC 2047): how a header carries text beyond ASCII.
enum EncodedWord {
  /// RFC 2047 §2, in characters, delimiters included.
  static let maximumLength = 75
  private static let overhead = "=?utf-8?q??=".utf8.count

  /// `text` as encoded-words, none of which cuts a character, in whichever of Q and B is shorter; the first one has
  /// `column` characters before it on its line.
  static func words(_ text: String, after column: Int = 0) -> [String] {
    let bytes = text.utf8.count
    let quoted = text.utf8.reduce(0) { $0 + (isSafe($1) || $1 == 0x20 ? 1 : 3) }
    let asBase64 = quoted > (bytes + 2) / 3 * 4
    // Base64 turns 3 bytes into 4 characters, so only whole groups of 3 use the room. 12 is the widest scalar in Q.
    func limit(_ column: Int) -> Int {
      let room = max(maximumLength - overhead - column, 12)
      return asBase64 ? room / 4 * 3 : room
    }
    var limitHere = limit(column)
    var words: [String] = []
    var chunk: [UInt8] = []
    var used = 0
    for scalar in text.unicodeScalars {
      let encoded = UTF8.encode(scalar)!
      let cost = asBase64 ? encoded.count : encoded.reduce(0) { $0 + (isSafe($1) || $1 == 0x20 ? 1 : 3) }
      if used + cost > limitHere {
        words.append(word(chunk, asBase64: asBase64))
        chunk.removeAll(keepingCapacity: true)
        used = 0
        limitHere = limit(0)
      }
      chunk.append(contentsOf: encoded)
      used += cost
    }
    if !chunk.isEmpty { words.append(word(chunk, asBase64: asBase64)) }
    return words
  }

  private static func word(_ bytes: [UInt8], asBase64: Bool) -> String {
    var output = Array((asBase64 ? "=?utf-8?b?" : "=?utf-8?q?").utf8)
    if asBase64 {
      MailBase64.append(bytes, to: &output)
    } else {
      for byte in bytes {
        if byte == 0x20 {
          output.append(UInt8(ascii: "_"))
        } else if isSafe(byte) {
          output.append(byte)
        } else {
          output.append(UInt8(ascii: "="))
          output.append(contentsOf: HexDigits.upper(byte))
        }
      }
    }
    output.append(contentsOf: "?=".utf8)
    return String(decoding: output, as: UTF8.self)
  }

  /// RFC 2047 §5(3): what may stand bare in a phrase, the strictest of the three places.
  private static func isSafe(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "!"), UInt8(ascii: "*"), UInt8(ascii: "+"),
      UInt8(ascii: "-"), UInt8(ascii: "/"):
      true
    default: false
    }
  }
}

/// Two upper-case hexadecimal digits, as `=XX` and `%XX` want them.
enum HexDigits {
  static func upper(_ byte: UInt8) -> [UInt8] {
    [digit(byte >> 4), digit(byte & 15)]
  }

  static func digit(_ nibble: UInt8) -> UInt8 {
    nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
  }
}
