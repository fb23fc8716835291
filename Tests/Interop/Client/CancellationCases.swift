import EventLoop
import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static var cancellation: [InteropCase] {
    [
      InteropCase("cancel_after_begin") { channel in
        try await emptyCall(channel)
        let call = try channel.call(TestService.streamingInputCall)
        // What is cancelled in the turn that made it is never sent.
        try await channel.reactor.sleep(for: .milliseconds(1))
        call.cancel()
        let error = try await failure(of: "StreamingInputCall") { _ = try await call.finish() }
        try expect(error.code == .cancelled, "\(error)")
        try await emptyCall(channel)
      },
      InteropCase("cancel_after_first_response") { channel in
        let call = try channel.call(TestService.fullDuplexCall)
        try await exchange(call, request: requestSizes[0], response: responseSizes[0])
        call.cancel()
        let error = try await failure(of: "FullDuplexCall") { _ = try await call.responses.next() }
        try expect(error.code == .cancelled, "\(error)")
        try await emptyCall(channel)
      },
      InteropCase("timeout_on_sleeping_server") { channel in
        try await emptyCall(channel)
        let error = try await failure(of: "FullDuplexCall") {
          let call = try channel.call(
            TestService.fullDuplexCall, options: CallOptions(timeout: .milliseconds(1)))
          try await call.write(StreamingOutputCallRequest { $0.payload = Payload(zeros: 27_182) })
          while try await call.responses.next() != nil {}
        }
        try expect(error.code == .deadlineExceeded, "\(error)")
      },
    ]
  }

  /// Before the call that a case is about: it would end in the queue for a connection else, unseen by the server. And
  /// after it: by then the server has heard of its end, and the connection has outlived it.
  private static func emptyCall(_ channel: RPCChannel) async throws {
    _ = try await channel.call(TestService.emptyCall, Empty())
  }
}
