import Testing

@testable import Transport

@Suite("Bytes that wait for the socket")
struct OutputBufferTests {
  private func append(_ count: Int, to buffer: inout OutputBuffer) {
    [UInt8](repeating: 1, count: count).withUnsafeBytes { buffer.append($0) }
  }

  @Test("Small memory is kept, large memory is there to be taken once it is empty, and not before")
  func spare() {
    var buffer = OutputBuffer()
    append(100, to: &buffer)
    buffer.consume { $0.count }
    #expect(buffer.takeSpare() == nil)
    append(2 * OutputBuffer.keptCapacity, to: &buffer)
    buffer.consume { $0.count - 1 }
    #expect(buffer.takeSpare() == nil)
    buffer.consume { $0.count }
    #expect(buffer.takeSpare().map { $0.isEmpty && $0.capacity >= 2 * OutputBuffer.keptCapacity } == true)
    #expect(buffer.takeSpare() == nil)
  }

  @Test("It outgrows its memory above the kept size alone, and takes what waits along to the other memory")
  func move() {
    var buffer = OutputBuffer()
    #expect(!buffer.outgrows(adding: OutputBuffer.keptCapacity))
    #expect(buffer.outgrows(adding: OutputBuffer.keptCapacity + 1))
    ([1, 2, 3] as [UInt8]).withUnsafeBytes { buffer.append($0) }
    buffer.consume { _ in 1 }
    var memory: [UInt8] = []
    memory.reserveCapacity(100_000)
    buffer.move(to: memory)
    #expect(buffer.count == 2)
    #expect(!buffer.outgrows(adding: 90_000))
    buffer.consume { bytes in
      #expect(bytes.elementsEqual([2, 3]))
      return bytes.count
    }
  }
}
