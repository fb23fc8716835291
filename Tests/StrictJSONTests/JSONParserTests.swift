import StrictJSON
import Testing

@Suite("JSON parser")
struct JSONParserTests {
  @Test(
    "Reads every kind of value",
    arguments: [
      ("null", JSONValue.null), (" true ", true), ("false", false), ("0", 0), ("-12", -12),
      (#""""#, ""), (#""a""#, "a"), ("[]", []), ("[1, 2]", [1, 2]), ("{}", [:]),
      (#"{"a": [{"b": null}], "c": "d"}"#, ["a": [["b": nil]], "c": "d"]),
    ] as [(String, JSONValue)])
  func values(text: String, expected: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == expected)
  }

  @Test(
    "Refuses what RFC 8259 does not allow",
    arguments: [
      ("", JSONParseError.Reason.unexpectedEnd), (" ", .unexpectedEnd), ("[1", .unexpectedEnd),
      (#"{"a""#, .unexpectedEnd),
      (#""a"#, .unexpectedEnd), (#""a\"#, .unexpectedEnd), ("tru", .unexpectedEnd), ("trux", .unexpectedByte),
      ("'a'", .unexpectedByte), ("[1,]", .unexpectedByte), (#"{"a":1,}"#, .unexpectedByte), ("{a:1}", .unexpectedByte),
      ("NaN", .unexpectedByte), ("+1", .unexpectedByte), (".5", .unexpectedByte), ("01", .badNumber),
      ("1.", .badNumber),
      ("1e", .badNumber), ("-", .badNumber), ("1 2", .trailingBytes), ("[] x", .trailingBytes),
      ("\u{FEFF}1", .unexpectedByte),
      (#""\x""#, .badEscape), (#""\u12G4""#, .badEscape), (#""\u12""#, .badEscape), ("\"a\nb\"", .controlCharacter),
      (#""\ud800""#, .loneSurrogate), (#""\udc00""#, .loneSurrogate), (#""\ud800\u0041""#, .loneSurrogate),
      (#"{"a":1,"a":2}"#, .duplicateMember), (#"{"a":1,"\u0061":2}"#, .duplicateMember), ("/**/1", .unexpectedByte),
    ])
  func refusals(text: String, reason: JSONParseError.Reason) {
    let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: text) }
    #expect(error?.reason == reason)
  }

  @Test(
    "Refuses bytes that are not UTF-8, with escapes beside them or not",
    arguments: [[0xFF], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x5C, 0x6E, 0xFF]]
      as [[UInt8]])
  func badUTF8(bytes: [UInt8]) {
    let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
    #expect(error?.reason == .badUTF8)
  }

  @Test("Reads a string of megabytes, and refuses one that is not UTF-8", arguments: [(2 << 20) - 1, 2 << 20, 3 << 20])
  func largeString(count: Int) throws {
    let limits = JSONLimits(maximumBytes: count + 2)
    var bytes = [UInt8](repeating: 0x78, count: count)
    bytes.replaceSubrange(count - 2..<count, with: [0xC3, 0xA9])
    let value = try JSONValue(parsing: [0x22] + bytes + [0x22], limits: limits)
    #expect(value == .string(String(decoding: bytes, as: UTF8.self)))
    bytes[count - 2] = 0xFF
    let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22], limits: limits) }
    #expect(error?.reason == .badUTF8)
  }

  @Test("Reads every escape, surrogate pairs too")
  func escapes() throws {
    let value = try JSONValue(parsing: #""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000é😀""#)
    #expect(value == "\"\\/\u{08}\u{0C}\n\r\té😀\u{0}é😀")
  }

  @Test("Finds the end of a string at every distance from an eight-byte boundary", arguments: 0..<40)
  func boundaries(length: Int) throws {
    for interruption in ["", #"\n"#, "é"] {
      let text = String(repeating: "x", count: length) + interruption + String(repeating: "y", count: length % 11)
      let expected = text.replacing(#"\n"#, with: "\n")
      #expect(try JSONValue(parsing: "[\"\(text)\",1]") == [.string(expected), 1])
    }
  }

  @Test("Names are told apart by their bytes, not by canonical equivalence")
  func bytewiseNames() throws {
    let value = try JSONValue(parsing: "{\"\u{E9}\": 1, \"e\u{301}\": 2}")
    #expect(value["\u{E9}"] == 1)
    #expect(value["e\u{301}"] == 2)
  }

  @Test("A repeated name is found among many")
  func duplicateAmongMany() {
    let names = (0..<1_000).map { "\"n\($0)\":1" } + ["\"n500\":1"]
    #expect(throws: JSONParseError.self) { try JSONValue(parsing: "{\(names.joined(separator: ","))}") }
  }

  @Test("Depth is allowed at the limit and refused one above it")
  func depth() throws {
    func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    _ = try JSONValue(parsing: nested(32))
    let error = #expect(throws: JSONParseError.self) { try JSONValue(parsing: nested(33)) }
    #expect(error?.reason == .tooDeep)
  }

  @Test("Size and number of values are allowed at the limit and refused one above it")
  func sizes() throws {
    _ = try JSONValue(parsing: "[1,2]", limits: JSONLimits(maximumBytes: 5, maximumValues: 3))
    #expect(throws: JSONParseError.self) { try JSONValue(parsing: "[1,2]", limits: JSONLimits(maximumBytes: 4)) }
    #expect(throws: JSONParseError.self) { try JSONValue(parsing: "[1,2]", limits: JSONLimits(maximumValues: 2)) }
  }

  @Test("Numbers keep their text and convert exactly")
  func numbers() throws {
    let value = try JSONValue(parsing: "[9223372036854775807, 9223372036854775808, -0.10e+2, 1e999]")
    let numbers = try #require(value.arrayValue)
    #expect(numbers[0].int64Value == .max)
    #expect(numbers[1].int64Value == nil)
    #expect(numbers[2].doubleValue == -10)
    #expect(numbers[3].doubleValue == nil)
    #expect(
      String(decoding: value.encoded(), as: UTF8.self) == "[9223372036854775807,9223372036854775808,-0.10e+2,1e999]")
  }

  @Test("Random bytes neither crash nor are accepted when cut short")
  func randomBytes() throws {
    var random = SystemRandomNumberGenerator()
    let seed = Array(#"{"a":[1,-2.5e3,true,null,"x\u00e9\n😀"],"b":{"c":""}}"#.utf8)
    for _ in 0..<2_000 {
      var bytes = seed
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      if let value = try? JSONValue(parsing: bytes) { #expect(try JSONValue(parsing: value.encoded()) == value) }
    }
    for count in 0..<seed.count {
      #expect(throws: JSONParseError.self) { try JSONValue(parsing: Array(seed[..<count])) }
    }
  }
}
