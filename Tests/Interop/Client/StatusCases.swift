import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static var status: [InteropCase] {
    [
      InteropCase("status_code_and_message") { try await echo(2, "test status method", $0, alsoStreaming: true) },
      InteropCase("special_status_message") {
        try await echo(
          2, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", $0, alsoStreaming: false)
      },
      InteropCase("unimplemented_method") { channel in
        let error = try await failure(of: "UnimplementedCall") {
          _ = try await channel.call(TestService.unimplementedCall, Empty())
        }
        try expect(error.code == .unimplemented, "\(error)")
      },
      InteropCase("unimplemented_service") { channel in
        let error = try await failure(of: "UnimplementedCall") {
          _ = try await channel.call(UnimplementedService.unimplementedCall, Empty())
        }
        try expect(error.code == .unimplemented, "\(error)")
      },
    ]
  }

  private static func echo(_ code: Int32, _ message: String, _ channel: RPCChannel, alsoStreaming: Bool) async throws {
    let status = EchoStatus {
      $0.code = code
      $0.message = message
    }
    func check(_ error: RPCError, _ kind: String) throws {
      try expect(error.code.rawValue == code, "\(kind): \(error.code)")
      try expect(Array(error.message.utf8) == Array(message.utf8), "\(kind): \"\(error.message)\"")
    }
    let unary = try await failure(of: "UnaryCall") {
      _ = try await channel.call(TestService.unaryCall, SimpleRequest { $0.responseStatus = status })
    }
    try check(unary, "UnaryCall")
    guard alsoStreaming else { return }
    let streaming = try await failure(of: "FullDuplexCall") {
      let call = try channel.call(TestService.fullDuplexCall)
      try await call.write(StreamingOutputCallRequest { $0.responseStatus = status })
      call.finishWriting()
      while try await call.responses.next() != nil {}
    }
    try check(streaming, "FullDuplexCall")
  }
}
