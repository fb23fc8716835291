import Glibc
import HTTPTypes

/// A strict HTTP/1.x request parser (RFC 9112) as a value: bytes in, pieces out. It refuses everything that two parsers
/// could read differently: bare LF, obs-fold, Content-Length beside Transfer-Encoding, repeated Content-Length, blanks
/// before a colon.
package struct HTTP1RequestParser: Sendable {
  package enum Output {
    /// All bytes were taken; more are needed.
    case needMore
    case head(HTTP1Head)
    /// Body bytes, inside the input.
    case body(UnsafeRawBufferPointer)
    /// The message is complete. Nothing more is taken until `startNext`.
    case end
  }

  private enum State: Sendable {
    case head
    case fixed(remaining: Int)
    case chunkLine
    case chunk(remaining: Int)
    case chunkEnd
    case trailers
    case ending
    case complete
  }

  private let limits: HTTP1Limits
  private var state = State.head
  /// The line or lines collected so far; in the head also the finished lines.
  private var collected: [UInt8] = []
  private var lineStart = 0
  private var leadingEmptyLines = 0
  private var extensionBytes = 0
  private var trailerBytes = 0

  package init(limits: HTTP1Limits = HTTP1Limits()) { self.limits = limits }

  /// Whether a message has begun and is not complete.
  package var isInMessage: Bool {
    switch state {
    case .head: !collected.isEmpty
    case .complete: false
    default: true
    }
  }

  package var isComplete: Bool { if case .complete = state { true } else { false } }

  /// Makes the parser ready for the next message of the connection.
  package mutating func startNext() {
    state = .head
    collected.removeAll(keepingCapacity: collected.capacity <= 4096)
    lineStart = 0
    leadingEmptyLines = 0
    extensionBytes = 0
    trailerBytes = 0
  }

  /// Takes bytes from the front of `input`: how many, and what they gave.
  package mutating func consume(_ input: UnsafeRawBufferPointer) throws(HTTP1ParseError) -> (count: Int, Output) {
    switch state {
    case .head: return try consumeHead(input)
    case .fixed(let remaining): return consumeBody(input, remaining, then: .ending) { .fixed(remaining: $0) }
    case .chunk(let remaining): return consumeBody(input, remaining, then: .chunkEnd) { .chunk(remaining: $0) }
    case .chunkLine: return try consumeChunkLine(input)
    case .chunkEnd: return try consumeChunkEnd(input)
    case .trailers: return try consumeTrailers(input)
    case .ending:
      state = .complete
      return (0, .end)
    case .complete: return (0, .needMore)
    }
  }

  // MARK: Head

  private mutating func consumeHead(_ input: UnsafeRawBufferPointer) throws(HTTP1ParseError) -> (Int, Output) {
    var taken = 0
    while taken < input.count {
      let (count, isComplete) = try takeLine(UnsafeRawBufferPointer(rebasing: input[taken...])) { parser, size in
        parser.headSizeError(size)
      }
      taken += count
      guard isComplete else { return (taken, .needMore) }
      let isEmpty = collected.count == lineStart
      if isEmpty, lineStart == 0 {
        // RFC 9112 section 2.2: a CRLF left over from the message before is skipped.
        leadingEmptyLines += 1
        if leadingEmptyLines > 2 { throw .malformed("empty lines instead of a request") }
        continue
      }
      if isEmpty {
        let head = try HTTP1HeadParser(limits: limits).parse(collected)
        collected.removeAll(keepingCapacity: true)
        lineStart = 0
        switch head.framing {
        case .none: state = .ending
        case .fixed(let length): state = .fixed(remaining: length)
        case .chunked: state = .chunkLine
        }
        return (taken, .head(head))
      }
      // Told early, so that somebody who speaks another protocol is not waited for.
      if lineStart == 0, collected.count(where: { $0 == UInt8(ascii: " ") }) != 2 {
        throw .malformed("the request line is malformed")
      }
      // Finished lines stay, each ended by one LF, which no line can contain.
      collected.append(UInt8(ascii: "\n"))
      lineStart = collected.count
    }
    return (taken, .needMore)
  }

  private func headSizeError(_ size: Int) -> HTTP1ParseError? {
    let requestLine = limits.method + limits.target + 16
    if lineStart == 0 {
      return size > requestLine ? HTTP1ParseError(.uriTooLong, "the request target is too long") : nil
    }
    let firstLine = collected.firstIndex(of: UInt8(ascii: "\n")) ?? 0
    return size - firstLine > limits.headerBlock
      ? HTTP1ParseError(.requestHeaderFieldsTooLarge, "the header block is too large") : nil
  }

  // MARK: Lines

  /// Appends bytes to `collected` up to a CRLF, which is taken and dropped.
  private mutating func takeLine(
    _ input: UnsafeRawBufferPointer, sizeError: (Self, Int) -> HTTP1ParseError?
  ) throws(HTTP1ParseError) -> (count: Int, isComplete: Bool) {
    guard let base = input.baseAddress else { return (0, false) }
    let newline = memchr(base, Int32(UInt8(ascii: "\n")), input.count)
    let count = newline.map { base.distance(to: UnsafeRawPointer($0)) } ?? input.count
    if let error = sizeError(self, collected.count + count) { throw error }
    collected.append(contentsOf: input[..<count])
    guard newline != nil else { return (count, false) }
    guard collected.count > lineStart, collected.last == UInt8(ascii: "\r") else {
      throw .malformed("a line ends in a bare LF")
    }
    collected.removeLast()
    return (count + 1, true)
  }

  // MARK: Body

  private mutating func consumeBody(
    _ input: UnsafeRawBufferPointer, _ remaining: Int, then next: State, else more: (Int) -> State
  ) -> (Int, Output) {
    let count = min(remaining, input.count)
    guard count > 0 else { return (0, .needMore) }
    state = count == remaining ? next : more(remaining - count)
    return (count, .body(UnsafeRawBufferPointer(rebasing: input[..<count])))
  }

  private mutating func consumeChunkLine(_ input: UnsafeRawBufferPointer) throws(HTTP1ParseError) -> (Int, Output) {
    guard !input.isEmpty else { return (0, .needMore) }
    let (count, isComplete) = try takeLine(input) { parser, size in
      size > parser.limits.chunkLine ? .malformed("a chunk line is too long") : nil
    }
    guard isComplete else { return (count, .needMore) }
    let size = try chunkSize()
    collected.removeAll(keepingCapacity: true)
    state = size == 0 ? .trailers : .chunk(remaining: size)
    let (more, output) = try consume(UnsafeRawBufferPointer(rebasing: input[count...]))
    return (count + more, output)
  }

  private mutating func chunkSize() throws(HTTP1ParseError) -> Int {
    var size = 0
    var digits = 0
    for byte in collected {
      guard let digit = hexDigit(byte) else { break }
      digits += 1
      // 15 digits cannot overflow, and are more than anybody's body.
      guard digits <= 15 else { throw .malformed("a chunk is too large") }
      size = size << 4 | digit
    }
    guard digits > 0 else { throw .malformed("a chunk size is not a number") }
    let rest = collected[digits...]
    extensionBytes += rest.count
    guard extensionBytes <= limits.chunkExtensions else { throw .malformed("too many chunk extensions") }
    guard rest.isEmpty || rest.first(where: { $0 != 32 && $0 != 9 }) == UInt8(ascii: ";"), rest.allSatisfy(isFieldByte)
    else { throw .malformed("a chunk line is malformed") }
    return size
  }

  private mutating func consumeChunkEnd(_ input: UnsafeRawBufferPointer) throws(HTTP1ParseError) -> (Int, Output) {
    // At most two bytes; the first may have come alone.
    var taken = 0
    while taken < input.count {
      let expected: UInt8 = collected.isEmpty ? UInt8(ascii: "\r") : UInt8(ascii: "\n")
      guard input[taken] == expected else { throw .malformed("a chunk does not end where its size says") }
      taken += 1
      guard collected.isEmpty else {
        collected.removeAll(keepingCapacity: true)
        state = .chunkLine
        let (more, output) = try consume(UnsafeRawBufferPointer(rebasing: input[taken...]))
        return (taken + more, output)
      }
      collected.append(expected)
    }
    return (taken, .needMore)
  }

  private mutating func consumeTrailers(_ input: UnsafeRawBufferPointer) throws(HTTP1ParseError) -> (Int, Output) {
    var taken = 0
    while taken < input.count {
      let (count, isComplete) = try takeLine(UnsafeRawBufferPointer(rebasing: input[taken...])) { parser, size in
        parser.trailerBytes + size > parser.limits.trailers
          ? HTTP1ParseError(.requestHeaderFieldsTooLarge, "the trailer section is too large") : nil
      }
      taken += count
      guard isComplete else { return (taken, .needMore) }
      if collected.isEmpty {
        state = .complete
        return (taken, .end)
      }
      trailerBytes += collected.count + 2
      _ = try HTTP1HeadParser(limits: limits).field(collected[...])
      collected.removeAll(keepingCapacity: true)
    }
    return (taken, .needMore)
  }
}

func hexDigit(_ byte: UInt8) -> Int? {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 48
  case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte) - 87
  case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte) - 55
  default: nil
  }
}

/// HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5).
func isFieldByte(_ byte: UInt8) -> Bool { byte == 9 || (byte >= 32 && byte != 127) }

/// tchar (RFC 9110 section 5.6.2).
func isTokenByte(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"):
    true
  case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
    UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
    UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
    true
  default: false
  }
}
