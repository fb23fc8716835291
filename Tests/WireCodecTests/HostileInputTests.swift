import TestSupport
import Testing
import WireCodec

private func code(_ bytes: [UInt8], limits: WireLimits = .default) -> WireError.Code? {
  do {
    _ = try Everything(wire: bytes, limits: limits)
    return nil
  } catch { return error.code }
}

@Test(
  "bytes that are no message are refused with the reason",
  arguments: [
    ([0x0a], .truncated),
    ([0x0a, 5, 0x61], .truncated),
    ([0x20], .truncated),
    ([0x20, 0xff], .truncated),
    ([0x20] + Array(repeating: 0xff, count: 10) + [1], .malformedVarint),
    ([0x3d, 1, 2, 3], .truncated),
    ([0x41, 1, 2, 3, 4, 5, 6, 7], .truncated),
    ([0x00, 0], .invalidTag),
    ([0x0e, 0], .invalidTag),
    ([0x0f, 0], .invalidTag),
    ([0xf8, 0xff, 0xff, 0xff, 0x1f, 0], .invalidTag),
    ([0x0a, 2, 0xc3, 0x28], .invalidUTF8),
    ([0x0a, 3, 0xed, 0xa0, 0x80], .invalidUTF8),
    ([0x0c], .unmatchedGroup),
    ([0x0b], .truncated),
    ([0x0b, 0x14], .unmatchedGroup),
    ([0x72, 2, 0x08], .truncated),
    ([0x72, 1, 0x08, 1], .truncated),
    ([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], .truncated),
    ([0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0], .malformedVarint),
    ([0x8a, 0x80, 0x80, 0x80, 0x80, 0x00, 0], .malformedVarint),
    ([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], .malformedVarint),
    ([0x82, 1, 2, 6, 0x80], .truncated),
  ] as [([UInt8], WireError.Code)])
func malformed(_ bytes: [UInt8], _ expected: WireError.Code) {
  #expect(code(bytes) == expected)
}

@Test("unknown fields of every wire type, groups included, are skipped")
func unknownFields() throws {
  let unknown: [UInt8] = [
    0xa0, 0x06, 1, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xa2, 0x06, 1, 9, 0xa5, 0x06, 1, 2, 3, 4,
    0xa3, 0x06, 0x0b, 0x08, 1, 0x0c, 0x12, 0, 0xa4, 0x06,
  ]
  let known = Everything { $0.text = "known" }
  #expect(try Everything(wire: unknown + known.wireBytes() + unknown) == known)
}

@Test("a known field with another wire type is skipped", arguments: 1...20)
func otherWireType(_ number: UInt8) throws {
  let tag = number < 16 ? [number << 3 | 3] : [number << 3 | 0x83, 1]
  let end = number < 16 ? [number << 3 | 4] : [number << 3 | 0x84, 1]
  #expect(try Everything(wire: tag + end) == Everything())
}

@Test("nesting is taken up to its limit and not beyond", arguments: [1, 3, 100])
func depthLimit(_ depth: Int) {
  func nested(_ levels: Int) -> [UInt8] {
    var child = Everything.Child()
    for _ in 1..<levels { child = .init { $0.children = [child] } }
    return Everything { $0.child = child }.wireBytes()
  }
  #expect(code(nested(depth), limits: WireLimits(depth: depth)) == nil)
  #expect(code(nested(depth + 1), limits: WireLimits(depth: depth)) == .tooDeep)
}

@Test("nested unknown groups are limited and cost no stack")
func groupDepth() {
  #expect(code(Array(repeating: 0x0b, count: 1_000_000)) == .tooDeep)
  #expect(code(Array(repeating: 0x0b, count: 100) + Array(repeating: 0x0c, count: 100)) == nil)
}

@Test("fields are taken up to their limit and not beyond")
func fieldLimit() {
  let three = Everything { $0.texts = ["a", "b", "c"] }.wireBytes()
  #expect(code(three, limits: WireLimits(fields: 3)) == nil)
  #expect(code(three, limits: WireLimits(fields: 2)) == .tooManyFields)
  let packed = Everything { $0.numbers = [1, 2, 3] }.wireBytes()
  #expect(code(packed, limits: WireLimits(fields: 4)) == nil)
  #expect(code(packed, limits: WireLimits(fields: 3)) == .tooManyFields)
}

@Test("a varint's bits beyond the 64th are dropped")
func longVarint() throws {
  #expect(try Everything(wire: [0x20] + Array(repeating: 0xff, count: 9) + [0x7f]).large == -1)
}

@Test("no mutation of a message's bytes crashes the reader")
func mutations() {
  var random = SeededRandom(seed: 42)
  let original = Everything {
    $0.text = "text"
    $0.data = [1, 2, 3]
    $0.large = -5
    $0.child = .init { $0.children = [.init { $0.number = 1 }, .init()] }
    $0.numbers = [1, 2, 300]
    $0.pairs = ["a": "b"]
    $0.choice = .child(.init())
    $0.ratio = 1
  }.wireBytes()
  var refused = 0
  for _ in 0..<20_000 {
    var bytes = original
    for _ in 0...random.below(3) {
      switch random.below(3) {
      case 0: bytes[random.below(bytes.count)] = UInt8(random.below(256))
      case 1: bytes.removeLast(min(bytes.count - 1, random.below(4)))
      default: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count))
      }
    }
    if let read = try? Everything(wire: bytes) {
      #expect(throws: Never.self) { try Everything(wire: read.wireBytes()) }
    } else {
      refused += 1
    }
  }
  #expect(refused > 1000)
}

@Test("a byte that is not UTF-8 is found wherever it stands, and a letter beyond ASCII is read there")
func everyPlace() throws {
  for length in 2...33 {
    for place in 0..<length - 1 {
      var text = [UInt8](repeating: 0x61, count: length)
      text[place...place + 1] = [0xc3, 0xa9]
      #expect(try Everything(wire: [0x0a, UInt8(length)] + text).text == String(decoding: text, as: UTF8.self))
      text[place] = 0x61
      text[place + 1] = 0xff
      #expect(throws: WireError.self) { try Everything(wire: [0x0a, UInt8(length)] + text) }
    }
  }
}
