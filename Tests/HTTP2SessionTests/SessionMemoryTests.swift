import CNghttp2
import Testing

@testable import HTTP2Session

@Suite("The memory of sessions")
struct SessionMemoryTests {
  private let memory = SessionMemory()

  private func malloc(_ size: Int) -> UnsafeMutableRawPointer {
    let functions = memory.functions
    return functions.malloc(size, functions.mem_user_data)!
  }

  private func free(_ block: UnsafeMutableRawPointer?) {
    let functions = memory.functions
    functions.free(block, functions.mem_user_data)
  }

  @Test("hands a block out again for any size of its class, and only then", arguments: [0, 1, 64, 65, 1023, 1024])
  func reuse(size: Int) {
    let first = malloc(size)
    #expect(Int(bitPattern: first) % 16 == 0)
    free(first)
    let other = malloc(size + 65)
    #expect(other != first)
    let again = malloc(max(1, size))
    #expect(again == first)
    free(other)
    free(again)
  }

  @Test("keeps nothing above its largest class, and no more than its limit of each")
  func bounds() {
    // Not kept as one of 1,024 bytes: that has its own room written before it.
    free(malloc(1025))
    let largest = malloc(1024)
    #expect((largest - 16).load(as: Int.self) == 1024)
    free(largest)
    let blocks = (0..<200).map { _ in malloc(1024) }
    for block in blocks { free(block) }
    let again = (0..<200).map { _ in malloc(1024) }
    #expect(again.prefix(64).allSatisfy(blocks.contains))
    for block in again { free(block) }
  }

  @Test("moves what a block holds when it grows out of its class, and not before")
  func growth() {
    let functions = memory.functions
    let block = malloc(10)
    block.storeBytes(of: 0x1122_3344_5566_7788, as: UInt64.self)
    let same = functions.realloc(block, 64, functions.mem_user_data)!
    #expect(same == block)
    let larger = functions.realloc(same, 5000, functions.mem_user_data)!
    #expect(larger != block)
    #expect(larger.load(as: UInt64.self) == 0x1122_3344_5566_7788)
    free(larger)
  }

  @Test("clears what is asked for as cleared, and refuses what overflows")
  func calloc() {
    let functions = memory.functions
    let dirty = malloc(128)
    dirty.initializeMemory(as: UInt8.self, repeating: 0xff, count: 128)
    free(dirty)
    let clean = functions.calloc(16, 8, functions.mem_user_data)!
    #expect(clean == dirty)
    #expect(UnsafeRawBufferPointer(start: clean, count: 128).allSatisfy { $0 == 0 })
    free(clean)
    free(nil)
    #expect(functions.calloc(Int.max, 8, functions.mem_user_data) == nil)
  }
}
