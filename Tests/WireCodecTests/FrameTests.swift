import Testing
import WireCodec

@Test("a frame is the flag, the length big-endian and the message")
func frameLayout() {
  var writer = WireWriter()
  writer.frame(Everything { $0.data = Array(repeating: 9, count: 300) })
  writer.frame(Everything())
  let bytes = writer.bytes
  #expect(bytes.prefix(8) == [0, 0, 0, 1, 0x2f, 0x12, 0xac, 0x02])
  #expect(bytes.suffix(5) == [0, 0, 0, 0, 0])
}

@Test(
  "a frame that is written where it stays has the same bytes, whatever the hint says", arguments: [0, 40, 400, 100_000])
func frameInPlace(hint: Int) {
  struct Hinted: WireMessage {
    static let wireName = "test.Hinted"
    var content = Everything()
    var hint = 0
    var encodedSizeHint: Int { hint }
    func encode(into w: inout WireWriter) { content.encode(into: &w) }
    mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) { try r.skip() }
  }
  var message = Hinted()
  message.content.data = Array(repeating: 9, count: 300)
  message.hint = hint
  var writer = WireWriter()
  writer.frame(message)
  #expect(message.frameBytes() == writer.bytes)
}
