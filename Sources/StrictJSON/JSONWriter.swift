/// Writes JSON straight into bytes: no tree is built, commas come by themselves.
///
/// ```swift
/// var json = JSONWriter()
/// json.object { json in
///   json.member("status", "success")
///   json.member("to") { $0.array(of: addresses) { $0.value($1) } }
/// }
/// send(json.bytes)
/// ```
package struct JSONWriter: ~Copyable {
  package private(set) var bytes: [UInt8] = []
  private var needsComma = false

  package init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

  /// Gives up the bytes; nothing is copied.
  package consuming func finish() -> [UInt8] { bytes }

  package mutating func object(_ members: (inout JSONWriter) throws -> Void) rethrows {
    open(UInt8(ascii: "{"))
    try members(&self)
    close(UInt8(ascii: "}"))
  }

  package mutating func array(_ elements: (inout JSONWriter) throws -> Void) rethrows {
    open(UInt8(ascii: "["))
    try elements(&self)
    close(UInt8(ascii: "]"))
  }

  package mutating func array<Elements: Sequence>(
    of elements: Elements, _ write: (inout JSONWriter, Elements.Element) throws -> Void
  ) rethrows {
    try array { json in
      for element in elements { try write(&json, element) }
    }
  }

  /// A member whose value the closure writes: exactly one value.
  package mutating func member(_ name: String, _ value: (inout JSONWriter) throws -> Void) rethrows {
    key(name)
    try value(&self)
  }

  package mutating func member(_ name: String, _ value: String) {
    key(name)
    self.value(value)
  }

  /// Writes `null` for nil. To leave a member out, do not call this.
  package mutating func member(_ name: String, _ value: String?) {
    key(name)
    if let value { self.value(value) } else { null() }
  }

  package mutating func member(_ name: String, _ value: some BinaryInteger) {
    key(name)
    self.value(value)
  }

  package mutating func member(_ name: String, _ value: Bool) {
    key(name)
    self.value(value)
  }

  package mutating func member(_ name: String, _ value: Double?) {
    key(name)
    if let value { self.value(value) } else { null() }
  }

  package mutating func member(_ name: String, _ value: JSONValue) {
    key(name)
    self.value(value)
  }

  package mutating func value(_ string: String) {
    separate()
    quoted(string)
    needsComma = true
  }

  package mutating func value(_ integer: some BinaryInteger) { raw(String(integer)) }

  package mutating func value(_ bool: Bool) { raw(bool ? "true" : "false") }

  /// Infinity and NaN, which JSON cannot say, become `null`.
  package mutating func value(_ double: Double) { raw(JSONNumber(double)?.lexeme ?? "null") }

  package mutating func null() { raw("null") }

  package mutating func value(_ value: JSONValue) {
    switch value {
    case .null: null()
    case .bool(let bool): self.value(bool)
    case .number(let number): raw(number.lexeme)
    case .string(let string): self.value(string)
    case .array(let elements): array(of: elements) { $0.value($1) }
    case .object(let object):
      self.object { json in
        for member in object.members { json.member(member.name, member.value) }
      }
    }
  }

  /// A line feed between two values, for newline-delimited JSON.
  package mutating func newline() {
    bytes.append(0x0A)
    needsComma = false
  }

  private mutating func key(_ name: String) {
    separate()
    quoted(name)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  private mutating func raw(_ text: String) {
    separate()
    bytes.append(contentsOf: text.utf8)
    needsComma = true
  }

  private mutating func open(_ bracket: UInt8) {
    separate()
    bytes.append(bracket)
    needsComma = false
  }

  private mutating func close(_ bracket: UInt8) {
    bytes.append(bracket)
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
  }

  private mutating func quoted(_ string: String) {
    var string = string
    bytes.append(UInt8(ascii: "\""))
    string.withUTF8 { text in
      guard let base = text.baseAddress else { return }
      var from = 0
      while true {
        let place = firstStringInterruption(UnsafeRawPointer(base), from, text.count)
        bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[from..<place]))
        guard place < text.count else { return }
        escape(text[place])
        from = place + 1
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ byte: UInt8) {
    bytes.append(UInt8(ascii: "\\"))
    switch byte {
    case 0x08: bytes.append(UInt8(ascii: "b"))
    case 0x09: bytes.append(UInt8(ascii: "t"))
    case 0x0A: bytes.append(UInt8(ascii: "n"))
    case 0x0C: bytes.append(UInt8(ascii: "f"))
    case 0x0D: bytes.append(UInt8(ascii: "r"))
    case 0x22, 0x5C: bytes.append(byte)
    default:
      let digits: StaticString = "0123456789abcdef"
      bytes.append(contentsOf: "u00".utf8)
      bytes.append(digits.utf8Start[Int(byte >> 4)])
      bytes.append(digits.utf8Start[Int(byte & 15)])
    }
  }
}

extension JSONValue {
  /// The value as compact JSON.
  package func encoded() -> [UInt8] {
    var json = JSONWriter()
    json.value(self)
    return json.finish()
  }
}
