import HugePages

extension JSONParser {
  /// Reads a string whose opening quotation mark is next. The text is copied once, escapes or not: a mail's attachment
  /// comes as one string of tens of megabytes, for which huge pages are cheaper than a second look at its UTF-8.
  mutating func string() throws(JSONParseError) -> String {
    index += 1
    let start = index
    let scan = try scanString()
    index = scan.end + 1
    let raw = UnsafeRawBufferPointer(start: base + start, count: scan.end - start)
    if !scan.hasEscapes, raw.count < HugePages.size {
      guard let string = String(validating: raw, as: UTF8.self) else {
        throw JSONParseError(reason: .badUTF8, offset: start)
      }
      return string
    }
    // Escapes are ASCII: the text with them is valid UTF-8 exactly when the text without them is.
    guard (try? UTF8Span(validating: raw.assumingMemoryBound(to: UInt8.self).span)) != nil else {
      throw JSONParseError(reason: .badUTF8, offset: start)
    }
    var failure: JSONParseError?
    let string = String(unsafeUninitializedCapacity: raw.count) { output in
      HugePages.advise(UnsafeMutableRawBufferPointer(output))
      do throws(JSONParseError) {
        return try unescape(start, scan.end, into: output)
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    return string
  }

  private func scanString() throws(JSONParseError) -> StringScan {
    var scan = StringScan(end: index)
    while true {
      let place = firstStringInterruption(base, scan.end, end)
      guard place < end else { throw JSONParseError(reason: .unexpectedEnd, offset: end) }
      switch base.load(fromByteOffset: place, as: UInt8.self) {
      case UInt8(ascii: "\""):
        scan.end = place
        return scan
      case UInt8(ascii: "\\"):
        scan.hasEscapes = true
        scan.end = place + 2
        guard scan.end <= end else { throw JSONParseError(reason: .unexpectedEnd, offset: end) }
      default: throw JSONParseError(reason: .controlCharacter, offset: place)
      }
    }
  }

  /// Writes what `start..<end` means; the answer is never longer than the source.
  private func unescape(
    _ start: Int, _ end: Int, into output: UnsafeMutableBufferPointer<UInt8>
  ) throws(JSONParseError) -> Int {
    var from = start
    var written = 0
    while from < end {
      let place = min(firstStringInterruption(base, from, end), end)
      if place > from {
        let run = UnsafeRawBufferPointer(start: base + from, count: place - from)
        UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(output)[written...]).copyMemory(from: run)
        written += run.count
        from = place
        continue
      }
      let scalar = try escape(&from, end)
      for unit in UTF8.encode(scalar)! {
        output[written] = unit
        written += 1
      }
    }
    return written
  }

  /// Reads one escape at `from`, the backslash included, and moves past it.
  private func escape(_ from: inout Int, _ end: Int) throws(JSONParseError) -> Unicode.Scalar {
    let place = from
    from += 2
    switch base.load(fromByteOffset: place + 1, as: UInt8.self) {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    default: throw JSONParseError(reason: .badEscape, offset: place)
    }
    let high = try hexadecimal(&from, end)
    if let scalar = Unicode.Scalar(high) { return scalar }
    guard high < 0xDC00, from + 2 <= end, base.load(fromByteOffset: from, as: UInt8.self) == UInt8(ascii: "\\"),
      base.load(fromByteOffset: from + 1, as: UInt8.self) == UInt8(ascii: "u")
    else { throw JSONParseError(reason: .loneSurrogate, offset: place) }
    from += 2
    let low = try hexadecimal(&from, end)
    guard 0xDC00...0xDFFF ~= low else { throw JSONParseError(reason: .loneSurrogate, offset: place) }
    return Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))!
  }

  private func hexadecimal(_ from: inout Int, _ end: Int) throws(JSONParseError) -> UInt32 {
    guard from + 4 <= end else { throw JSONParseError(reason: .badEscape, offset: from) }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = base.load(fromByteOffset: from, as: UInt8.self)
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
      default: throw JSONParseError(reason: .badEscape, offset: from)
      }
      from += 1
    }
    return value
  }
}
