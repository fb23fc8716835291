import HugePages

/// Base64 (RFC 4648), strict: one text for each value. No white space, no stray bits, and padding exactly where
/// the variant has it.
package enum Base64 {
  package enum Alphabet: Sendable {
    /// Section 4, padded.
    case standard
    /// Section 5, unpadded, as JOSE and Gmail use it.
    case urlSafe

    fileprivate var digits: StaticString {
      switch self {
      case .standard: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
      case .urlSafe: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
      }
    }
  }

  package static func encode(_ bytes: some Collection<UInt8>, _ alphabet: Alphabet = .standard) -> String {
    let result: String? = bytes.withContiguousStorageIfAvailable { encode(UnsafeRawBufferPointer($0), alphabet) }
    return result ?? Array(bytes).withUnsafeBytes { encode($0, alphabet) }
  }

  package static func encode(_ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet) -> String {
    String(unsafeUninitializedCapacity: encodedCount(bytes.count, alphabet)) { encode(bytes, alphabet, into: $0) }
  }

  /// The characters of `count` bytes.
  package static func encodedCount(_ count: Int, _ alphabet: Alphabet) -> Int {
    switch alphabet {
    case .standard: (count + 2) / 3 * 4
    case .urlSafe: (count * 4 + 2) / 3
    }
  }

  /// Writes ``encodedCount(_:_:)`` characters to the beginning of `output`, and tells how many.
  package static func encode(
    _ bytes: UnsafeRawBufferPointer, _ alphabet: Alphabet, into output: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    let count = encodedCount(bytes.count, alphabet)
    precondition(output.count >= count)
    guard let target = UnsafeMutableRawPointer(output.baseAddress) else { return 0 }
    let rest = bytes.count % 3
    var from = 0
    var to = 0
    Tables.of(alphabet).pairs.withUnsafeBufferPointer { pairs in
      while from + 2 < bytes.count {
        let word = UInt32(bytes[from]) << 16 | UInt32(bytes[from + 1]) << 8 | UInt32(bytes[from + 2])
        target.storeBytes(of: pairs[Int(word >> 12)], toByteOffset: to, as: UInt16.self)
        target.storeBytes(of: pairs[Int(word & 0xFFF)], toByteOffset: to + 2, as: UInt16.self)
        from += 3
        to += 4
      }
    }
    if rest > 0 {
      let digits = alphabet.digits.utf8Start
      let word = UInt32(bytes[from]) << 16 | (rest == 2 ? UInt32(bytes[from + 1]) << 8 : 0)
      output[to] = digits[Int(word >> 18)]
      output[to + 1] = digits[Int(word >> 12 & 63)]
      if rest == 2 { output[to + 2] = digits[Int(word >> 6 & 63)] }
      for place in to + rest + 1..<count { output[place] = UInt8(ascii: "=") }
    }
    return count
  }

  /// Nil for anything but the one encoding of a value.
  package static func decode(_ text: some StringProtocol, _ alphabet: Alphabet = .standard) -> [UInt8]? {
    let result: [UInt8]?? = text.utf8.withContiguousStorageIfAvailable { decode($0, alphabet) }
    if let result { return result }
    return Array(text.utf8).withUnsafeBufferPointer { decode($0, alphabet) }
  }

  package static func decode(_ text: UnsafeBufferPointer<UInt8>, _ alphabet: Alphabet) -> [UInt8]? {
    var count = text.count
    if alphabet == .standard {
      guard count % 4 == 0 else { return nil }
      var padding = 0
      while padding < 2 && count > 0 && text[count - 1] == UInt8(ascii: "=") {
        count -= 1
        padding += 1
      }
    }
    let rest = count % 4
    guard rest != 1 else { return nil }
    var isValid = true
    let size = count / 4 * 3 + (rest == 0 ? 0 : rest - 1)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { output, initialized in
      HugePages.advise(UnsafeMutableRawBufferPointer(output))
      Tables.of(alphabet).words.withUnsafeBufferPointer { words in
        var seen: UInt32 = 0
        var to = 0
        for from in stride(from: 0, to: count - rest, by: 4) {
          let word =
            words[Int(text[from])] | words[256 + Int(text[from + 1])] | words[512 + Int(text[from + 2])]
            | words[768 + Int(text[from + 3])]
          seen |= word
          output[to] = UInt8(truncatingIfNeeded: word >> 16)
          output[to + 1] = UInt8(truncatingIfNeeded: word >> 8)
          output[to + 2] = UInt8(truncatingIfNeeded: word)
          to += 3
        }
        if rest > 0 {
          let end = count - rest
          var word = words[Int(text[end])] | words[256 + Int(text[end + 1])]
          if rest == 3 { word |= words[512 + Int(text[end + 2])] }
          seen |= word
          output[to] = UInt8(truncatingIfNeeded: word >> 16)
          if rest == 3 { output[to + 1] = UInt8(truncatingIfNeeded: word >> 8) }
          // The bits that the last digit has too many.
          isValid = word & (rest == 2 ? 0xFFFF : 0xFF) == 0
        }
        isValid = isValid && seen & Tables.invalid == 0
      }
      initialized = size
    }
    return isValid ? bytes : nil
  }

  /// What three bytes and four digits have to do with each other, looked up in two and in four places: a large mail is mostly
  /// base64.
  private struct Tables {
    static let invalid: UInt32 = 1 << 31
    private static let standard = Self(.standard)
    private static let urlSafe = Self(.urlSafe)

    /// The two digits of 12 bits, as they lie in memory.
    let pairs: [UInt16]
    /// What each byte is in the first, second, third and fourth place, 256 each, of 24 bits; ``invalid`` where it is no digit.
    let words: [UInt32]

    static func of(_ alphabet: Alphabet) -> Self { alphabet == .standard ? standard : urlSafe }

    private init(_ alphabet: Alphabet) {
      let digits = alphabet.digits.withUTF8Buffer(Array.init)
      pairs = (0..<4096).map { UInt16(digits[$0 >> 6]) | UInt16(digits[$0 & 63]) << 8 }
      var words = [UInt32](repeating: Self.invalid, count: 1024)
      for (value, digit) in digits.enumerated() {
        for place in 0..<4 { words[place << 8 | Int(digit)] = UInt32(value) << (18 - 6 * place) }
      }
      self.words = words
    }
  }
}
