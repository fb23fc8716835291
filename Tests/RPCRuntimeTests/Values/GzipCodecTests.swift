import EventLoop
import TestSupport
import Testing

@testable import RPCRuntime

@Suite("gzip, a message at a time")
struct GzipCodecTests {
  private func frame(_ body: [UInt8]) -> [UInt8] {
    [0] + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - 8 * $0)) } + body
  }

  private func compress(_ writer: GzipWriter, _ body: [UInt8]) -> [UInt8]? {
    let framed = frame(body)
    writer.begin()
    while true {
      switch framed.withUnsafeBytes({ writer.step($0) }) {
      case .more: continue
      case .done(let bytes): return bytes
      case .useless: return nil
      }
    }
  }

  private func decompress(_ reader: GzipReader, _ bytes: [UInt8], limit: Int) throws(RPCError) -> [UInt8] {
    reader.begin(limit: limit)
    while try !bytes.span.bytes.withUnsafeBytes({ (raw) throws(RPCError) in try reader.step(raw) }) {}
    var result: [UInt8] = []
    try reader.withOutput { (bytes) throws(RPCError) in result = [UInt8](bytes) }
    return result
  }

  private func error(_ reader: GzipReader, _ bytes: [UInt8], limit: Int) -> StatusCode? {
    do throws(RPCError) {
      _ = try decompress(reader, bytes, limit: limit)
      return nil
    } catch {
      return error.code
    }
  }

  @Test("What is compressed comes back, one message after the other", arguments: [40, 1000, 300_000])
  func roundTrip(count: Int) throws {
    let (writer, reader) = (GzipWriter(), GzipReader())
    for seed in 0..<5 {
      let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 20 + seed) }
      let framed = try #require(compress(writer, body))
      #expect(framed.count < body.count)
      #expect(framed[0] == 1)
      #expect(framed[1..<5].reduce(0) { $0 << 8 | Int($1) } == framed.count - 5)
      #expect(try decompress(reader, Array(framed[5...]), limit: count) == body)
    }
  }

  @Test("A slice of a message may end where the output is full")
  func sliceEndsWithFullOutput() throws {
    func number(_ value: Int, _ bytes: Int) -> [UInt8] {
      (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    func stored(_ content: [UInt8], isLast: Bool) -> [UInt8] {
      [isLast ? 1 : 0] + number(content.count, 2) + number(~content.count, 2) + content
    }
    // The field before the blocks shifts their ends: 16,374 + 5 + 65,535 + 5 + 1 bytes are five slices of 16 KiB.
    let extra = 16_362
    let header = [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 255] + number(extra, 2) + [UInt8](repeating: 0, count: extra)
    let (large, one, rest): ([UInt8], [UInt8], [UInt8]) = ([UInt8](repeating: 7, count: 65_535), [8], [9, 10])
    let plain = large + one + rest
    var checksum = ~UInt32(0)
    for byte in plain {
      checksum ^= UInt32(byte)
      for _ in 0..<8 { checksum = checksum >> 1 ^ (checksum & 1 == 1 ? 0xEDB8_8320 : 0) }
    }
    let bytes =
      header + stored(large, isLast: false) + stored(one, isLast: false) + stored(rest, isLast: true)
      + number(Int(~checksum), 4) + number(plain.count, 4)
    #expect(try decompress(GzipReader(), bytes, limit: 100_000) == plain)
  }

  @Test("A message that does not get smaller is not compressed", arguments: [0, 1, 20])
  func tooSmall(count: Int) {
    #expect(compress(GzipWriter(), (0..<count).map { UInt8($0) }) == nil)
  }

  @Test("A message may be as large as the limit when decompressed, one byte more is RESOURCE_EXHAUSTED")
  func limit() throws {
    let reader = GzipReader()
    for count in [1000, 65_536, 65_537, GzipReader.outputSlice, GzipReader.outputSlice + 1, 1_000_000] {
      let bytes = Array(try #require(compress(GzipWriter(), [UInt8](repeating: 7, count: count)))[5...])
      #expect(error(reader, bytes, limit: count) == nil)
      #expect(error(reader, bytes, limit: count - 1) == .resourceExhausted)
      #expect(error(reader, bytes, limit: 1) == .resourceExhausted)
    }
  }

  @Test("Bytes that are not exactly one gzip member are INTERNAL, and the next message is read")
  func broken() throws {
    let reader = GzipReader()
    let body = (0..<500).map { UInt8(truncatingIfNeeded: $0 / 9) }
    let good = Array(try #require(compress(GzipWriter(), body))[5...])
    for count in 0..<good.count { #expect(error(reader, Array(good.prefix(count)), limit: 1000) == .internal) }
    #expect(error(reader, good + [0], limit: 1000) == .internal)
    #expect(error(reader, good + good, limit: 1000) == .internal)
    var damaged = good
    damaged[good.count / 2] ^= 0x55
    #expect(error(reader, damaged, limit: 1000) == .internal)
    #expect(try decompress(reader, good, limit: 1000) == body)
  }

  @Test("A step reads and writes at most a slice, even of a message that decompresses to nothing")
  func slices() throws {
    let zeros = Array(try #require(compress(GzipWriter(), [UInt8](repeating: 0, count: 4_000_000)))[5...])
    #expect(try steps(zeros, limit: 4_000_000) == 4_000_000 / GzipReader.outputSlice + 1)
    // A header, a megabyte of empty stored blocks, an empty last one, the sum and the length of nothing.
    let header: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]
    let blocks = repeatElement([0, 0, 0, 0xff, 0xff] as [UInt8], count: 200_000).flatMap(\.self)
    let empty = header + blocks + [1, 0, 0, 0xff, 0xff] + [UInt8](repeating: 0, count: 8)
    #expect(try steps(empty, limit: 10) == empty.count / GzipReader.inputSlice + 1)
  }

  private func steps(_ bytes: [UInt8], limit: Int) throws(RPCError) -> Int {
    let reader = GzipReader()
    reader.begin(limit: limit)
    var count = 1
    while try !bytes.span.bytes.withUnsafeBytes({ (raw) throws(RPCError) in try reader.step(raw) }) { count += 1 }
    return count
  }

  @Test("Large messages are decompressed one at a time; who is cancelled while it waits leaves, and the next goes on")
  func turns() async throws {
    let bytes = Array(try #require(compress(GzipWriter(), [UInt8](repeating: 0, count: 4_000_000)))[5...])
    try await onLoop { reactor in
      let codec = GzipCodec()
      var begun: [Int] = []
      var isHeld = true
      let tasks = (0..<3).map { number in
        reactor.spawn {
          var count = 0
          try await codec.decompress(
            limit: 4_000_000, on: reactor,
            step: { (reader) throws(RPCError) in
              if begun.last != number { begun.append(number) }
              if isHeld { return false }
              return try bytes.span.bytes.withUnsafeBytes { (raw) throws(RPCError) in try reader.step(raw) }
            },
            interrupted: { RPCError(.cancelled, "\($0)") },
            { (decompressed) throws(RPCError) in count = decompressed.count })
          return count
        }
      }
      for _ in 0..<10 { await reactor.yield() }
      #expect(begun == [0])
      tasks[1].cancel()
      let cancelled = await failure { _ = try await tasks[1].value }
      #expect(cancelled?.code == .cancelled)
      isHeld = false
      let counts = (try await tasks[0].value, try await tasks[2].value)
      #expect(counts == (4_000_000, 4_000_000))
      #expect(begun == [0, 2])
    }
  }

  @Test(
    "gzip is found in a list of encodings",
    arguments: [
      ("gzip", true), ("identity,gzip", true), ("identity, deflate , gzip ", true), ("", false), (",", false),
      ("identity", false), ("gzipped,x-gzip", false),
    ])
  func lists(list: String, hasGzip: Bool) {
    #expect(Array(list.utf8).withUnsafeBytes { MessageEncoding.listsGzip($0) } == hasGzip)
  }
}
