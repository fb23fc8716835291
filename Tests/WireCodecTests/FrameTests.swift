import Testing
import WireCodec

private func deliver(_ chunks: [[UInt8]], max: Int = 1000) throws -> (messages: [[UInt8]], assembler: FrameAssembler) {
  var assembler = FrameAssembler(maxMessageSize: max)
  var messages: [[UInt8]] = []
  for chunk in chunks {
    try chunk.withUnsafeBytes { try assembler.append($0) { bytes, _ in messages.append([UInt8](bytes)) } }
  }
  return (messages, assembler)
}

@Test("a frame is the flag, the length big-endian and the message")
func frameLayout() {
  var writer = WireWriter()
  writer.frame(Everything { $0.data = Array(repeating: 9, count: 300) })
  writer.frame(Everything())
  let bytes = writer.bytes
  #expect(bytes.prefix(8) == [0, 0, 0, 1, 0x2f, 0x12, 0xac, 0x02])
  #expect(bytes.suffix(5) == [0, 0, 0, 0, 0])
}

@Test("frames come out whole however the stream is cut", arguments: 1...40)
func cuts(_ size: Int) throws {
  let messages: [[UInt8]] = [[], [1], Array(repeating: 2, count: 30), [], Array(repeating: 3, count: 200)]
  var stream: [UInt8] = []
  for message in messages { stream += [0, 0, 0, 0, UInt8(message.count)] + message }
  let chunks = stride(from: 0, to: stream.count, by: size).map { Array(stream[$0..<min($0 + size, stream.count)]) }
  let result = try deliver(chunks)
  #expect(result.messages == messages)
  #expect(result.assembler.isAtBoundary)
}

@Test("a stream that ends inside a frame is not at a boundary", arguments: 1...6)
func cutEnd(_ length: Int) throws {
  #expect(try !deliver([Array([0, 0, 0, 0, 2, 1, 1].prefix(length))]).assembler.isAtBoundary)
}

@Test("a message is taken at the largest size and refused one byte above, as soon as the prefix is there")
func sizeLimit() throws {
  #expect(try deliver([[0, 0, 0, 0, 4, 1, 2, 3, 4]], max: 4).messages == [[1, 2, 3, 4]])
  for chunks in [[[0, 0, 0, 0, 5]], [[0, 0, 0], [0, 5], [1]]] as [[[UInt8]]] {
    let error = #expect(throws: WireError.self) { try deliver(chunks, max: 4) }
    #expect(error?.code == .messageTooLarge)
  }
}

@Test("memory follows the bytes that came, not the length that is claimed")
func claimedLength() throws {
  let result = try deliver([[0, 0x7f, 0xff, 0xff, 0xff, 1]], max: .max)
  #expect(result.assembler.bufferedBytes == 6)
}

@Test("the compressed flag is told, another flag is refused")
func flags() throws {
  var assembler = FrameAssembler(maxMessageSize: 10)
  var seen: [Bool] = []
  try ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0] as [UInt8]).withUnsafeBytes { try assembler.append($0) { seen.append($1) } }
  #expect(seen == [true, false])
  #expect(throws: WireError.self) { try deliver([[2, 0, 0, 0, 0]]) }
}
