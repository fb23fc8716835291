import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static var compression: [InteropCase] {
    [
      InteropCase("client_compressed_unary", clientCompressedUnary),
      InteropCase("server_compressed_unary") { channel in
        for compressed in [true, false] {
          var request = largeRequest
          request.responseCompressed = BoolValue(compressed)
          let answer = try await channel.unary(TestService.unaryCall, request)
          try expect(answer.isCompressed == compressed, "the response's compressed flag is \(answer.isCompressed)")
          try expectPayload(answer.message.payload, size: request.responseSize)
        }
      },
      InteropCase("client_compressed_streaming", clientCompressedStreaming),
      InteropCase("server_compressed_streaming") { channel in
        let wanted: [(size: Int32, compressed: Bool)] = [(31_415, true), (92_653, false)]
        let call = try channel.call(
          TestService.streamingOutputCall,
          StreamingOutputCallRequest {
            $0.responseParameters = wanted.map { ResponseParameters(size: $0.size, compressed: $0.compressed) }
          })
        let responses = call.responses
        for (size, compressed) in wanted {
          let response = try await responses.next()
          try expect(responses.isCompressed == compressed, "the response's compressed flag is not \(compressed)")
          try expectPayload(response?.payload, size: size)
        }
        try expect(try await responses.next() == nil, "one response too many")
      },
    ]
  }

  /// A server that cannot tell compressed requests from others would pass the rest of the case: the probe, which lies
  /// about its compression, finds that out.
  private static func clientCompressedUnary(_ channel: RPCChannel) async throws {
    func call(_ encoding: MessageEncoding, expects: Bool) async throws {
      var request = largeRequest
      request.expectCompressed = BoolValue(expects)
      let response = try await channel.call(
        TestService.unaryCall, request, options: CallOptions(requestEncoding: encoding))
      try expectPayload(response.payload, size: request.responseSize)
    }
    let probe = try await failure(of: "the probe") { try await call(.identity, expects: true) }
    try expect(probe.code == .invalidArgument, "the probe: \(probe)")
    try await call(.gzip, expects: true)
    try await call(.identity, expects: false)
  }

  private static func clientCompressedStreaming(_ channel: RPCChannel) async throws {
    func request(_ size: Int32, expects: Bool) -> StreamingInputCallRequest {
      StreamingInputCallRequest {
        $0.payload = Payload(zeros: size)
        $0.expectCompressed = BoolValue(expects)
      }
    }
    let probe = try await failure(of: "the probe") {
      let call = try channel.call(TestService.streamingInputCall)
      try await call.write(request(27_182, expects: true))
      _ = try await call.finish()
    }
    try expect(probe.code == .invalidArgument, "the probe: \(probe)")
    let call = try channel.call(TestService.streamingInputCall, options: CallOptions(requestEncoding: .gzip))
    try await call.write(request(27_182, expects: true))
    try await call.write(request(45_904, expects: false), compress: false)
    let sum = try await call.finish().aggregatedPayloadSize
    try expect(sum == 73_086, "a sum of \(sum)")
  }
}
