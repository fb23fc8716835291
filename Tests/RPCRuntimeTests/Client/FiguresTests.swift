import EventLoop
import HTTP2Session
import Testing

@testable import RPCRuntime

@Suite("What calls and connections count", .timeLimit(.minutes(1)))
struct FiguresTests {
  private let metrics = RecordedMetrics.shared

  @Test("The sizes are those of the messages alone, on both sides")
  func sizes() async throws {
    let echo = BidirectionalMethod<Note, Note>("test.Sizes", "Chat")
    try await withPair {
      $0.handle(echo) { requests, replies, _ in
        for try await request in requests { try await replies.write(request) }
      }
    } _: { channel, _ in
      let call = try channel.call(echo)
      for _ in 0..<3 {
        try await call.write(Note("12345678"))  // 10 bytes
        _ = try await call.responses.next()
      }
      call.finishWriting()
      #expect(try await call.responses.next() == nil)
    }
    for side in ["grpc_client_attempt", "grpc_server_call"] {
      for direction in ["sent", "rcvd"] {
        let name = "\(side)_\(direction)_total_compressed_message_size_bytes"
        #expect(metrics.sum(name, ("grpc_method", "test.Sizes/Chat")) == 30)
      }
    }
  }
}
