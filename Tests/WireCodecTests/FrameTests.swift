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
