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
    guard let base = output.baseAddress else { return 0 }
    let digits = alphabet.digits.utf8Start
    let rest = bytes.count % 3
    var from = 0
    var to = 0
    while from + 2 < bytes.count {
      let word = UInt32(bytes[from]) << 16 | UInt32(bytes[from + 1]) << 8 | UInt32(bytes[from + 2])
      base[to] = digits[Int(word >> 18)]
      base[to + 1] = digits[Int(word >> 12 & 63)]
      base[to + 2] = digits[Int(word >> 6 & 63)]
      base[to + 3] = digits[Int(word & 63)]
      from += 3
      to += 4
    }
    if rest > 0 {
      let word = UInt32(bytes[from]) << 16 | (rest == 2 ? UInt32(bytes[from + 1]) << 8 : 0)
      base[to] = digits[Int(word >> 18)]
      base[to + 1] = digits[Int(word >> 12 & 63)]
      if rest == 2 { base[to + 2] = digits[Int(word >> 6 & 63)] }
      for place in to + rest + 1..<count { base[place] = UInt8(ascii: "=") }
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
    let values = alphabet == .standard ? standardValues : urlSafeValues
    var isValid = true
    let size = count / 4 * 3 + (rest == 0 ? 0 : rest - 1)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { output, initialized in
      values.withUnsafeBufferPointer { values in
        var word: UInt32 = 0
        var seen: UInt8 = 0
        var to = 0
        for from in 0..<count {
          let value = values[Int(text[from])]
          seen |= value
          word = word << 6 | UInt32(value & 63)
          if from % 4 == 3 {
            output[to] = UInt8(truncatingIfNeeded: word >> 16)
            output[to + 1] = UInt8(truncatingIfNeeded: word >> 8)
            output[to + 2] = UInt8(truncatingIfNeeded: word)
            to += 3
            word = 0
          }
        }
        if rest == 2 {
          output[to] = UInt8(truncatingIfNeeded: word >> 4)
          isValid = word & 0xF == 0
        } else if rest == 3 {
          output[to] = UInt8(truncatingIfNeeded: word >> 10)
          output[to + 1] = UInt8(truncatingIfNeeded: word >> 2)
          isValid = word & 0x3 == 0
        }
        isValid = isValid && seen & 0x80 == 0
      }
      initialized = size
    }
    return isValid ? bytes : nil
  }

  private static let standardValues = values(of: .standard)
  private static let urlSafeValues = values(of: .urlSafe)

  /// The value of each byte; 0x80 marks those outside the alphabet.
  private static func values(of alphabet: Alphabet) -> [UInt8] {
    var values = [UInt8](repeating: 0x80, count: 256)
    alphabet.digits.withUTF8Buffer { for (value, digit) in $0.enumerated() { values[Int(digit)] = UInt8(value) } }
    return values
  }
}
