extension JSONValue {
  /// Reads one JSON text. Refuses everything that RFC 8259 does not allow, and repeated members too.
  package init(parsing bytes: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()) throws(JSONParseError) {
    guard bytes.count <= limits.maximumBytes else {
      throw JSONParseError(reason: .tooLarge, offset: limits.maximumBytes)
    }
    guard let base = bytes.baseAddress else { throw JSONParseError(reason: .unexpectedEnd, offset: 0) }
    var parser = JSONParser(base: base, end: bytes.count, limits: limits)
    self = try parser.document()
  }

  package init(parsing bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONParseError) {
    self = try bytes.withUnsafeBufferPointer { bytes throws(JSONParseError) in
      try JSONValue(parsing: UnsafeRawBufferPointer(bytes), limits: limits)
    }
  }

  package init(parsing text: String, limits: JSONLimits = JSONLimits()) throws(JSONParseError) {
    self = try JSONValue(parsing: Array(text.utf8), limits: limits)
  }
}

/// A recursive-descent reader over borrowed bytes; its recursion is bounded by the depth limit.
struct JSONParser {
  let base: UnsafeRawPointer
  let end: Int
  let limits: JSONLimits
  var index = 0
  private var depth = 0
  private var values = 0

  init(base: UnsafeRawPointer, end: Int, limits: JSONLimits) {
    self.base = base
    self.end = end
    self.limits = limits
  }

  mutating func document() throws(JSONParseError) -> JSONValue {
    skipSpace()
    let value = try value()
    skipSpace()
    guard index == end else { throw error(.trailingBytes) }
    return value
  }

  private mutating func value() throws(JSONParseError) -> JSONValue {
    values += 1
    guard values <= limits.maximumValues else { throw error(.tooManyValues) }
    switch try peek() {
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  private mutating func object() throws(JSONParseError) -> JSONValue {
    try descend()
    var members: [JSONObject.Member] = []
    var names: Set<MemberName> = []
    skipSpace()
    if try peek() == UInt8(ascii: "}") {
      ascend()
      return .object(JSONObject())
    }
    while true {
      guard try peek() == UInt8(ascii: "\"") else { throw error(.unexpectedByte) }
      let start = index
      let name = try string()
      guard isNew(name, among: members, &names) else {
        throw JSONParseError(reason: .duplicateMember, offset: start)
      }
      skipSpace()
      guard try peek() == UInt8(ascii: ":") else { throw error(.unexpectedByte) }
      index += 1
      skipSpace()
      members.append(JSONObject.Member(name: name, value: try value()))
      if try !another(before: UInt8(ascii: "}")) { return .object(JSONObject(distinct: members)) }
    }
  }

  /// Few names are compared one by one; many go through a set, so that no object costs quadratic time.
  private func isNew(_ name: String, among members: [JSONObject.Member], _ names: inout Set<MemberName>) -> Bool {
    guard members.count >= 16 else { return !members.contains { $0.name.hasSameBytes(as: name) } }
    if names.isEmpty { names = Set(members.map { MemberName(name: $0.name) }) }
    return names.insert(MemberName(name: name)).inserted
  }

  private mutating func array() throws(JSONParseError) -> JSONValue {
    try descend()
    var elements: [JSONValue] = []
    skipSpace()
    if try peek() == UInt8(ascii: "]") {
      ascend()
      return .array(elements)
    }
    while true {
      elements.append(try value())
      if try !another(before: UInt8(ascii: "]")) { return .array(elements) }
    }
  }

  /// After an element: true past a comma, false past the closing bracket.
  private mutating func another(before close: UInt8) throws(JSONParseError) -> Bool {
    skipSpace()
    switch try peek() {
    case UInt8(ascii: ","):
      index += 1
      skipSpace()
      return true
    case close:
      ascend()
      return false
    default: throw error(.unexpectedByte)
    }
  }

  private mutating func descend() throws(JSONParseError) {
    guard depth < limits.maximumDepth else { throw error(.tooDeep) }
    depth += 1
    index += 1
  }

  private mutating func ascend() {
    depth -= 1
    index += 1
  }

  private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONParseError) -> JSONValue {
    for offset in 0..<word.utf8CodeUnitCount {
      guard try peek() == word.utf8Start[offset] else { throw error(.unexpectedByte) }
      index += 1
    }
    return value
  }

  private mutating func number() throws(JSONParseError) -> JSONNumber {
    let start = index
    if byte == UInt8(ascii: "-") { index += 1 }
    if byte == UInt8(ascii: "0") {
      index += 1
    } else {
      guard skipDigits() else { throw error(index == start && index < end ? .unexpectedByte : .badNumber) }
    }
    if byte == UInt8(ascii: ".") {
      index += 1
      guard skipDigits() else { throw error(.badNumber) }
    }
    if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
      index += 1
      if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { index += 1 }
      guard skipDigits() else { throw error(.badNumber) }
    }
    if let byte, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { throw error(.badNumber) }
    let lexeme = String(decoding: UnsafeRawBufferPointer(start: base + start, count: index - start), as: UTF8.self)
    return JSONNumber(checkedLexeme: lexeme)
  }

  private mutating func skipDigits() -> Bool {
    let start = index
    while let byte, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { index += 1 }
    return index > start
  }

  private mutating func skipSpace() {
    while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
  }

  var byte: UInt8? { index < end ? base.load(fromByteOffset: index, as: UInt8.self) : nil }

  func peek() throws(JSONParseError) -> UInt8 {
    guard let byte else { throw error(.unexpectedEnd) }
    return byte
  }

  func error(_ reason: JSONParseError.Reason) -> JSONParseError { JSONParseError(reason: reason, offset: index) }
}
