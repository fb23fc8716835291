import Testing

@testable import RPCRuntime

@Suite("Messages cut from a stream of bytes")
struct MessageInboxTests {
  private func frame(_ body: [UInt8], flag: UInt8 = 0) -> [UInt8] {
    [
      flag, UInt8(body.count >> 24 & 255), UInt8(body.count >> 16 & 255), UInt8(body.count >> 8 & 255),
      UInt8(body.count & 255),
    ]
      + body
  }

  private func receive(_ inbox: inout MessageInbox, _ bytes: [UInt8]) throws(RPCError) -> Int {
    try bytes.span.bytes.withUnsafeBytes { (raw) throws(RPCError) -> Int in try inbox.receive(raw) }
  }

  private func take(_ inbox: inout MessageInbox) -> (bytes: [UInt8], givenBack: Int) {
    var bytes: [UInt8] = []
    inbox.withFirst { bytes = Array($0) }
    return (bytes, inbox.removeFirst())
  }

  @Test("Messages come out whole, however the bytes are cut, and every byte is given back once")
  func cuts() throws {
    let messages: [[UInt8]] = [[], [1], Array(0..<200), [9, 9]]
    let stream = messages.flatMap { frame($0) }
    for size in 1...stream.count {
      var inbox = MessageInbox(limit: 1000)
      var (seen, givenBack): ([[UInt8]], Int) = ([], 0)
      var rest = stream[...]
      while !rest.isEmpty {
        givenBack += try receive(&inbox, Array(rest.prefix(size)))
        rest = rest.dropFirst(size)
        while inbox.readyCount > 0 {
          let (bytes, count) = take(&inbox)
          seen.append(bytes)
          givenBack += count
        }
      }
      #expect(seen == messages)
      #expect(givenBack == stream.count)
      #expect(!inbox.isMidMessage)
    }
  }

  @Test("A whole message holds the window until it is taken; a part of one does not")
  func backPressure() throws {
    var inbox = MessageInbox(limit: 1000)
    #expect(try receive(&inbox, frame(Array(0..<100))) == 0)
    #expect(try receive(&inbox, Array(frame(Array(0..<100)).dropLast(50))) == 0)
    #expect(take(&inbox).givenBack == 105 + 55)
    #expect(try receive(&inbox, Array(repeating: 0, count: 10)) == 10)
    #expect(inbox.isMidMessage)
  }

  @Test("The largest message is allowed, one byte more is RESOURCE_EXHAUSTED from the prefix on")
  func limit() throws {
    var inbox = MessageInbox(limit: 10)
    _ = try receive(&inbox, frame(Array(repeating: 1, count: 10)))
    #expect(inbox.readyCount == 1)
    var other = MessageInbox(limit: 10)
    let error = #expect(throws: RPCError.self) { try receive(&other, [0, 0, 0, 0, 11]) }
    #expect(error?.code == .resourceExhausted)
  }

  @Test(
    "Compressed without an encoding of the call, or with a flag that is neither: INTERNAL",
    arguments: [1, 2, 255] as [UInt8])
  func flags(flag: UInt8) {
    var inbox = MessageInbox(limit: 10)
    let error = #expect(throws: RPCError.self) { try receive(&inbox, frame([1], flag: flag)) }
    #expect(error?.code == .internal)
  }

  @Test("A compressed message is one where the call declared an encoding")
  func compressed() throws {
    var inbox = MessageInbox(limit: 10)
    inbox.allowsCompressed = true
    _ = try receive(&inbox, frame([1], flag: 1) + frame([2]))
    #expect(inbox.isFirstCompressed)
    #expect(take(&inbox).bytes == [1])
    #expect(!inbox.isFirstCompressed)
    inbox.reset(limit: 10)
    #expect(!inbox.allowsCompressed)
  }
}
