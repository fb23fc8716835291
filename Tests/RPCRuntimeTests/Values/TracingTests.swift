import Testing

@testable import RPCRuntime

@Suite("Traces as values")
struct TracingTests {
  private static let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test("A traceparent is read and written")
  func traceparent() throws {
    let context = try #require(TraceContext(traceparent: Self.text))
    #expect(context.traceID == 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c)
    #expect(context.spanID == 0xb7ad_6b71_6920_3331)
    #expect(context.isSampled)
    #expect(context.traceparent == Self.text)
    #expect(
      TraceContext(traceID: 1, spanID: 2, isSampled: false).traceparent
        == "00-00000000000000000000000000000001-0000000000000002-00")
  }

  @Test(
    "What is no traceparent is ignored",
    arguments: [
      "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
      "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
      "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ])
  func malformed(text: String) {
    #expect(TraceContext(traceparent: text) == nil)
  }

  @Test("A later version may say more, and other flags are none of ours")
  func later() {
    #expect(TraceContext(traceparent: "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-x")?.isSampled == true)
    #expect(TraceContext(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")?.isSampled == false)
  }

  @Test("A trace is kept as its beginner decided; new ones by the share, alike for one id")
  func sampling() {
    let kept = TraceContext(traceID: 1, spanID: 1, isSampled: true)
    let left = TraceContext(traceID: 1, spanID: 1, isSampled: false)
    #expect(TraceSampler(ratio: 0).keeps(1, parent: kept))
    #expect(!TraceSampler(ratio: 1).keeps(1, parent: left))
    #expect(TraceSampler(ratio: 1, followsParent: false).keeps(1, parent: left))
    #expect(!TraceSampler(ratio: 0).keeps(1, parent: nil))
    let half = TraceSampler(ratio: 0.5)
    #expect(half.keeps(UInt128(UInt64.max / 2 - 4096), parent: nil))
    #expect(!half.keeps(UInt128(UInt64.max / 2 + 4096), parent: nil))
  }

  @Test("A child has its parent's trace and a new id; what nobody takes is dropped above the limit")
  func spans() {
    let tracer = Tracer(limit: 2, clock: { 5 })
    let first = tracer.start("a", .server, parent: nil)
    let child = tracer.start("b", .client, parent: first.context)
    #expect(child.context.traceID == first.context.traceID)
    #expect(child.context.spanID != first.context.spanID)
    child.end(isError: true)
    child.end()
    first.end()
    tracer.start("c", .client, parent: nil).end()
    let taken = tracer.take(atMost: 10)
    #expect(taken.map(\.name) == ["b", "a"])
    #expect(taken.map(\.parentID) == [first.context.spanID, nil])
    #expect(taken.map(\.isError) == [true, false])
    #expect(tracer.takeDroppedCount() == 1)
    #expect(tracer.takeDroppedCount() == 0)
    #expect(tracer.take(atMost: 10).isEmpty)
  }

  @Test("A span of a trace that is not kept leaves nothing")
  func unsampled() {
    let tracer = Tracer(TraceSampler(ratio: 0))
    let span = tracer.start("a", .server, parent: nil)
    #expect(!span.context.isSampled)
    span.end()
    #expect(tracer.endedCount == 0)
  }
}
