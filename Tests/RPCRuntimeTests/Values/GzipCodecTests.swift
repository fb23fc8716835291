import Testing

@testable import RPCRuntime

@Suite("gzip, a message at a time")
struct GzipCodecTests {
  private func frame(_ body: [UInt8]) -> [UInt8] {
    [0] + (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - 8 * $0)) } + body
  }

  private func compress(_ codec: GzipCodec, _ body: [UInt8]) -> [UInt8]? {
    frame(body).withUnsafeBytes { codec.compress(framed: $0) { [UInt8]($0) } }
  }

  private func decompress(_ codec: GzipCodec, _ bytes: [UInt8], limit: Int) throws(RPCError) -> [UInt8] {
    var result: [UInt8] = []
    try bytes.span.bytes.withUnsafeBytes { (raw) throws(RPCError) in
      try codec.decompress(raw, limit: limit) { (bytes) throws(RPCError) in result = [UInt8](bytes) }
    }
    return result
  }

  private func error(_ codec: GzipCodec, _ bytes: [UInt8], limit: Int) -> StatusCode? {
    do throws(RPCError) {
      _ = try decompress(codec, bytes, limit: limit)
      return nil
    } catch {
      return error.code
    }
  }

  @Test("What is compressed comes back, with one codec for message after message", arguments: [40, 1000, 300_000])
  func roundTrip(count: Int) throws {
    let codec = GzipCodec()
    for seed in 0..<5 {
      let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 20 + seed) }
      let framed = try #require(compress(codec, body))
      #expect(framed.count < body.count)
      #expect(framed[0] == 1)
      #expect(framed[1..<5].reduce(0) { $0 << 8 | Int($1) } == framed.count - 5)
      #expect(try decompress(codec, Array(framed[5...]), limit: count) == body)
    }
  }

  @Test("A message that does not get smaller is not compressed", arguments: [0, 1, 20])
  func tooSmall(count: Int) {
    #expect(compress(GzipCodec(), (0..<count).map { UInt8($0) }) == nil)
  }

  @Test("A message may be as large as the limit when decompressed, one byte more is RESOURCE_EXHAUSTED")
  func limit() throws {
    let codec = GzipCodec()
    for count in [1000, 65_536, 65_537, 1_000_000] {
      let bytes = Array(try #require(compress(codec, [UInt8](repeating: 7, count: count)))[5...])
      #expect(error(codec, bytes, limit: count) == nil)
      #expect(error(codec, bytes, limit: count - 1) == .resourceExhausted)
      #expect(error(codec, bytes, limit: 1) == .resourceExhausted)
    }
  }

  @Test("Bytes that are not exactly one gzip member are INTERNAL, and the codec goes on")
  func broken() throws {
    let codec = GzipCodec()
    let body = (0..<500).map { UInt8(truncatingIfNeeded: $0 / 9) }
    let good = Array(try #require(compress(codec, body))[5...])
    for count in 0..<good.count { #expect(error(codec, Array(good.prefix(count)), limit: 1000) == .internal) }
    #expect(error(codec, good + [0], limit: 1000) == .internal)
    #expect(error(codec, good + good, limit: 1000) == .internal)
    var damaged = good
    damaged[good.count / 2] ^= 0x55
    #expect(error(codec, damaged, limit: 1000) == .internal)
    #expect(try decompress(codec, good, limit: 1000) == body)
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
