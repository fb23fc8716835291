import InteropSchema
import RPCRuntime
import WireCodec

extension InteropCases {
  static var unary: [InteropCase] {
    [
      InteropCase("empty_unary") { channel in
        let response = try await channel.call(TestService.emptyCall, Empty())
        try expect(response == Empty(), "the response is not empty")
      },
      InteropCase("large_unary") { channel in
        let response = try await channel.call(TestService.unaryCall, largeRequest)
        try expectPayload(response.payload, size: largeRequest.responseSize)
      },
      InteropCase("custom_metadata", customMetadata),
    ]
  }

  static let largeRequest = SimpleRequest {
    $0.responseSize = 314_159
    $0.payload = Payload(zeros: 271_828)
  }

  private static func customMetadata(_ channel: RPCChannel) async throws {
    let initial = Metadata.Value.text("test_initial_metadata_value")
    let trailing = Metadata.Value.binary([0xab, 0xab, 0xab])
    let options = CallOptions(metadata: [EchoedMetadata.initial: initial, EchoedMetadata.trailing: trailing])
    func check(_ sent: Metadata, _ trailers: Metadata, _ kind: String) throws {
      try expect(sent.values(EchoedMetadata.initial) == [initial], "\(kind): initial metadata \(sent)")
      try expect(trailers.values(EchoedMetadata.trailing) == [trailing], "\(kind): trailers \(trailers)")
    }
    let answer = try await channel.unary(TestService.unaryCall, largeRequest, options: options)
    try expectPayload(answer.message.payload, size: largeRequest.responseSize)
    try check(answer.initialMetadata, answer.trailers, "UnaryCall")

    let call = try channel.call(TestService.fullDuplexCall, options: options)
    try await call.write(
      StreamingOutputCallRequest {
        $0.responseParameters = [ResponseParameters(size: 314_159)]
        $0.payload = Payload(zeros: 271_828)
      })
    call.finishWriting()
    var count = 0
    for try await response in call.responses {
      try expectPayload(response.payload, size: 314_159)
      count += 1
    }
    try expect(count == 1, "\(count) responses instead of 1")
    try check(try await call.initialMetadata(), call.trailers, "FullDuplexCall")
  }
}
