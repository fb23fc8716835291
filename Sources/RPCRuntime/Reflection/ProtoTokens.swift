/// Cuts the text of a `.proto` file into words, numbers, strings and signs; comments and blanks are passed over.
///
/// Spec: https://protobuf.dev/reference/protobuf/proto3-spec/
struct ProtoTokens {
  enum Token: Equatable {
    /// Letters, digits, `_` and `.`: a keyword, a name or a number.
    case word(String)
    case string(String)
    case sign(Character)
    case end
  }

  private let source: [UInt8]
  private var position = 0
  private(set) var line = 1
  /// The next token.
  private(set) var next = Token.end

  init(_ source: [UInt8]) throws(ProtoSyntaxError) {
    self.source = source
    try advance()
  }

  /// The next token; afterwards the one behind it is the next.
  mutating func take() throws(ProtoSyntaxError) -> Token {
    let token = next
    try advance()
    return token
  }

  /// Takes this sign if it is next.
  mutating func take(_ sign: Character) throws(ProtoSyntaxError) -> Bool {
    guard next == .sign(sign) else { return false }
    try advance()
    return true
  }

  mutating func take(word: String) throws(ProtoSyntaxError) -> Bool {
    guard next == .word(word) else { return false }
    try advance()
    return true
  }

  mutating func expect(_ sign: Character) throws(ProtoSyntaxError) {
    guard try take(sign) else { throw fault("'\(sign)' is expected") }
  }

  mutating func word() throws(ProtoSyntaxError) -> String {
    guard case .word(let word) = next else { throw fault("a name is expected") }
    try advance()
    return word
  }

  mutating func string() throws(ProtoSyntaxError) -> String {
    guard case .string(var text) = next else { throw fault("a string is expected") }
    try advance()
    while case .string(let more) = next {
      text += more
      try advance()
    }
    return text
  }

  mutating func number() throws(ProtoSyntaxError) -> Int32 {
    let isNegative = try take("-")
    let text = try word()
    let value = text.hasPrefix("0x") ? Int32(text.dropFirst(2), radix: 16) : Int32((isNegative ? "-" : "") + text)
    guard let value else { throw fault("a number is expected") }
    return value
  }

  func fault(_ reason: String) -> ProtoSyntaxError { ProtoSyntaxError(line: line, reason: reason) }

  private mutating func advance() throws(ProtoSyntaxError) {
    try skipBlanks()
    guard position < source.count else { return next = .end }
    let first = source[position]
    if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") {
      next = .string(try quoted(by: first))
    } else if Self.isWord(first) {
      let start = position
      while position < source.count, Self.isWord(source[position]) { position += 1 }
      next = .word(String(decoding: source[start..<position], as: UTF8.self))
    } else {
      position += 1
      next = .sign(Character(Unicode.Scalar(first)))
    }
  }

  private mutating func skipBlanks() throws(ProtoSyntaxError) {
    while position < source.count {
      let rest = source[position...]
      if source[position] == UInt8(ascii: "\n") {
        line += 1
        position += 1
      } else if source[position] <= 0x20 {
        position += 1
      } else if rest.starts(with: "//".utf8) {
        while position < source.count, source[position] != UInt8(ascii: "\n") { position += 1 }
      } else if rest.starts(with: "/*".utf8) {
        position += 2
        while !source[position...].starts(with: "*/".utf8) {
          guard position < source.count else { throw fault("a comment has no end") }
          if source[position] == UInt8(ascii: "\n") { line += 1 }
          position += 1
        }
        position += 2
      } else {
        return
      }
    }
  }

  /// Escapes stand for the character behind them: options that need more are not kept anyway.
  private mutating func quoted(by quote: UInt8) throws(ProtoSyntaxError) -> String {
    var bytes: [UInt8] = []
    position += 1
    while position < source.count, source[position] != quote {
      if source[position] == UInt8(ascii: "\\") { position += 1 }
      guard position < source.count, source[position] != UInt8(ascii: "\n") else { break }
      bytes.append(source[position])
      position += 1
    }
    guard position < source.count, source[position] == quote else { throw fault("a string has no end") }
    position += 1
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}

/// What is wrong with the text of a `.proto` file.
public struct ProtoSyntaxError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Counted from 1.
  public let line: Int
  public let reason: String

  public var description: String { "line \(line): \(reason)" }
}
