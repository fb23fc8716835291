import Testing
import WireCodec

/// A message with a field of every kind, as a conforming type is meant to be written.
struct Everything: WireMessage, Equatable {
  static let wireName = "test.Everything"

  struct Colour: WireEnum {
    var rawValue: Int32
    init(rawValue: Int32) { self.rawValue = rawValue }
    static let red = Self(rawValue: 1)
  }

  enum Choice: Equatable {
    case name(String)
    case child(Child)
    case flag(Bool)
  }

  struct Child: WireMessage, Equatable {
    static let wireName = "test.Everything.Child"
    var number: Int64 = 0
    var children: [Child] = []
    init() {}
    func encode(into w: inout WireWriter) {
      w.int64(1, number)
      w.messages(2, children)
    }
    mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int64(&self.number)
      case 2: try r.messages(&children)
      default: try r.skip()
      }
    }
  }

  var text = ""
  var data: [UInt8] = []
  var small: Int32 = 0
  var large: Int64 = 0
  var unsigned: UInt64 = 0
  var zigzag: Int64 = 0
  var fixed32: UInt32 = 0
  var fixed64: UInt64 = 0
  var ratio = 0.0
  var colour = Colour()
  var on = false
  var optionalText: String?
  var optionalRatio: Double?
  var child: Child?
  var texts: [String] = []
  var numbers: [Int64] = []
  var pairs: WireMap = [:]
  var choice: Choice?

  init() {}

  func encode(into w: inout WireWriter) {
    w.string(1, text)
    w.bytes(2, data)
    w.int32(3, small)
    w.int64(4, large)
    w.uint64(5, unsigned)
    w.sint64(6, zigzag)
    w.fixed32(7, fixed32)
    w.fixed64(8, fixed64)
    w.double(9, ratio)
    w.enum(10, colour)
    w.bool(11, on)
    w.string(12, optionalText)
    w.double(13, optionalRatio)
    w.message(14, child)
    w.strings(15, texts)
    w.int64s(16, numbers)
    w.map(17, pairs)
    switch choice {
    case .name(let value): w.string(18, Optional(value))
    case .child(let value): w.message(19, value)
    case .flag(let value): w.bool(20, Optional(value))
    case nil: break
    }
  }

  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&text)
    case 2: try r.bytes(&data)
    case 3: try r.int32(&small)
    case 4: try r.int64(&large)
    case 5: try r.uint64(&unsigned)
    case 6: try r.sint64(&zigzag)
    case 7: try r.fixed32(&fixed32)
    case 8: try r.fixed64(&fixed64)
    case 9: try r.double(&ratio)
    case 10: try r.enum(&colour)
    case 11: try r.bool(&on)
    case 12: try r.string(&optionalText)
    case 13: try r.double(&optionalRatio)
    case 14: try r.message(&child)
    case 15: try r.strings(&texts)
    case 16: try r.int64s(&numbers)
    case 17: try r.map(&pairs)
    case 18: if let value = try r.string() { choice = .name(value) }
    case 19:
      var old: Child?
      if case .child(let value) = choice { old = value }
      if let value = try r.message(over: old) { choice = .child(value) }
    case 20: if let value = try r.varint() { choice = .flag(value != 0) }
    default: try r.skip()
    }
  }
}

@Test("a message of defaults has no bytes")
func defaultsAreEmpty() {
  #expect(Everything().wireBytes() == [])
}

@Test("fields without presence leave out defaults, fields with presence keep them")
func presence() throws {
  let message = Everything {
    $0.optionalText = ""
    $0.optionalRatio = 0
    $0.child = .init()
    $0.choice = .flag(false)
  }
  #expect(message.wireBytes() == [0x62, 0, 0x69, 0, 0, 0, 0, 0, 0, 0, 0, 0x72, 0, 0xa0, 0x01, 0])
  #expect(try Everything(wire: message.wireBytes()) == message)
}

@Test(
  "integers at their edges survive",
  arguments: [0, 1, -1, 127, 128, 16_383, 16_384, 1 << 35, .max, .min] as [Int64])
func integers(_ value: Int64) throws {
  let message = Everything {
    $0.small = Int32(truncatingIfNeeded: value)
    $0.large = value
    $0.unsigned = UInt64(bitPattern: value)
    $0.zigzag = value
    $0.fixed32 = UInt32(truncatingIfNeeded: value)
    $0.fixed64 = UInt64(bitPattern: value)
    $0.colour = .init(rawValue: Int32(truncatingIfNeeded: value))
    $0.numbers = [value, 0, value]
  }
  #expect(try Everything(wire: message.wireBytes()) == message)
}

@Test("nested messages of every length survive", arguments: [0, 1, 126, 127, 128, 129, 16_382, 16_384, 70_000])
func nestedLengths(_ length: Int) throws {
  let message = Everything {
    $0.texts = [String(repeating: "é", count: length)]
    $0.child = .init { $0.children = Array(repeating: .init { $0.number = -1 }, count: length / 12) }
    $0.data = Array(repeating: 7, count: length)
  }
  #expect(try Everything(wire: message.wireBytes()) == message)
}

@Test("a negative zero survives")
func negativeZero() throws {
  let message = Everything { $0.ratio = -0.0 }
  #expect(try Everything(wire: message.wireBytes()).ratio.sign == .minus)
}

@Test("a map's keys are told apart byte by byte and written in the order of their bytes")
func mapKeys() throws {
  let message = Everything { $0.pairs = ["\u{e9}": "composed", "e\u{301}": "decomposed", "a": ""] }
  let read = try Everything(wire: message.wireBytes())
  #expect(read.pairs.count == 3)
  #expect(read.pairs["e\u{301}"] == "decomposed")
  #expect(read.pairs.pairs.map(\.value) == ["", "decomposed", "composed"])
}

@Test("a later value replaces an earlier one, a nested message is merged, a repeated one is appended")
func merging() throws {
  let first = Everything {
    $0.text = "one"
    $0.child = .init { $0.number = 1 }
    $0.texts = ["a"]
    $0.choice = .child(.init { $0.number = 1 })
  }
  let second = Everything {
    $0.text = "two"
    $0.child = .init { $0.children = [.init()] }
    $0.texts = ["b"]
    $0.choice = .child(.init { $0.children = [.init()] })
  }
  let merged = try Everything(wire: first.wireBytes() + second.wireBytes())
  #expect(merged.text == "two")
  #expect(merged.texts == ["a", "b"])
  let both = Everything.Child {
    $0.number = 1
    $0.children = [.init()]
  }
  #expect(merged.child == both)
  #expect(merged.choice == .child(both))
}

@Test("packed and single numbers are read alike")
func packedOrNot() throws {
  let bytes: [UInt8] = [0x80, 0x01, 5, 0x82, 0x01, 2, 6, 7, 0x80, 0x01, 8]
  #expect(try Everything(wire: bytes).numbers == [5, 6, 7, 8])
}

@Test("a reset writer writes the same bytes again and gives back large memory")
func reset() {
  var writer = WireWriter()
  Everything { $0.data = Array(repeating: 1, count: 1_000_000) }.encode(into: &writer)
  writer.reset()
  #expect(writer.count == 0)
  let message = Everything { $0.text = "again" }
  message.encode(into: &writer)
  #expect(writer.bytes == message.wireBytes())
}

@Test("a message of any size is whole, on the stack or beyond it", arguments: [0, 1, 900, 1_000, 1_024, 1_100, 70_000])
func sizes(length: Int) throws {
  let message = Everything { $0.text = String(repeating: "x", count: length) }
  #expect(try Everything(wire: message.wireBytes()) == message)
}
