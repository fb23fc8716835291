import EventLoop
import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static var cancellation: [InteropCase] {
    [
      InteropCase("cancel_after_begin") { channel in
        let call = try channel.call(TestService.streamingInputCall)
        call.cancel()
        let error = try await failure(of: "StreamingInputCall") { _ = try await call.finish() }
        try expect(error.code == .cancelled, "\(error)")
      },
      InteropCase("cancel_after_first_response") { channel in
        let call = try channel.call(TestService.fullDuplexCall)
        try await exchange(call, request: requestSizes[0], response: responseSizes[0])
        call.cancel()
        let error = try await failure(of: "FullDuplexCall") { _ = try await call.responses.next() }
        try expect(error.code == .cancelled, "\(error)")
      },
      InteropCase("timeout_on_sleeping_server") { channel in
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
}
