import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static let requestSizes: [Int32] = [27_182, 8, 1_828, 45_904]
  static let responseSizes: [Int32] = [31_415, 9, 2_653, 58_979]

  static var streaming: [InteropCase] {
    [
      InteropCase("client_streaming") { channel in
        let call = try channel.call(TestService.streamingInputCall)
        for size in requestSizes {
          try await call.write(StreamingInputCallRequest { $0.payload = Payload(zeros: size) })
        }
        let response = try await call.finish()
        try expect(response.aggregatedPayloadSize == 74_922, "a sum of \(response.aggregatedPayloadSize)")
      },
      InteropCase("server_streaming") { channel in
        let call = try channel.call(
          TestService.streamingOutputCall,
          StreamingOutputCallRequest { $0.responseParameters = responseSizes.map { ResponseParameters(size: $0) } })
        var sizes = responseSizes[...]
        for try await response in call {
          guard let size = sizes.popFirst() else { throw CaseFailure(description: "too many responses") }
          try expectPayload(response.payload, size: size)
        }
        try expect(sizes.isEmpty, "\(sizes.count) responses are missing")
      },
      InteropCase("ping_pong") { channel in
        let call = try channel.call(TestService.fullDuplexCall)
        for (request, response) in zip(requestSizes, responseSizes) {
          try await exchange(call, request: request, response: response)
        }
        call.finishWriting()
        try expect(try await call.responses.next() == nil, "one response too many")
      },
      InteropCase("empty_stream") { channel in
        let call = try channel.call(TestService.fullDuplexCall)
        call.finishWriting()
        try expect(try await call.responses.next() == nil, "a response to nothing")
      },
    ]
  }

  /// One request for one response, and that response.
  static func exchange(
    _ call: BidirectionalCall<StreamingOutputCallRequest, StreamingOutputCallResponse>, request: Int32, response: Int32
  ) async throws {
    try await call.write(
      StreamingOutputCallRequest {
        $0.responseParameters = [ResponseParameters(size: response)]
        $0.payload = Payload(zeros: request)
      })
    let answer = try await call.responses.next()
    try expect(answer != nil, "the stream ended early")
    try expectPayload(answer?.payload, size: response)
  }
}
