import EventLoop
public import RPCRuntime
import WireCodec

/// What the official description asks of a server.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
public enum TestServiceHandlers {
  public static func register(on server: RPCServer) {
    server.handle(TestService.emptyCall) { _, _ in Empty() }
    server.handle(TestService.unaryCall) { request, context in
      echoMetadata(context)
      try expect(request.expectCompressed, context.isRequestCompressed)
      try refuseAsAsked(request.responseStatus)
      if request.responseCompressed?.value == true { context.responseEncoding = .gzip }
      return try response(to: request)
    }
    server.handle(TestService.cacheableUnaryCall) { request, context in
      echoMetadata(context)
      return try response(to: request)
    }
    server.handle(TestService.streamingOutputCall) { request, writer, context in
      if request.responseParameters.contains(where: { $0.compressed?.value == true }) {
        context.responseEncoding = .gzip
      }
      try await respond(to: request, writer, context)
    }
    server.handle(TestService.streamingInputCall) { requests, context in
      var size = 0
      for try await request in requests {
        try expect(request.expectCompressed, requests.isCompressed)
        size += request.payload?.body.count ?? 0
      }
      return StreamingInputCallResponse { $0.aggregatedPayloadSize = Int32(clamping: size) }
    }
    server.handle(TestService.fullDuplexCall) { requests, writer, context in
      echoMetadata(context)
      for try await request in requests {
        try refuseAsAsked(request.responseStatus)
        try await respond(to: request, writer, context)
      }
    }
    server.handle(TestService.halfDuplexCall) { requests, writer, context in
      var kept: [StreamingOutputCallRequest] = []
      for try await request in requests { kept.append(request) }
      for request in kept { try await respond(to: request, writer, context) }
    }
  }

  private static func echoMetadata(_ context: ServerContext) {
    for entry in context.metadata.entries {
      switch entry.value {
      case .text(let text) where entry.name == EchoedMetadata.initial:
        try? context.initialMetadata.append(entry.name, text)
      case .binary(let bytes) where entry.name == EchoedMetadata.trailing:
        try? context.trailers.append(entry.name, binary: bytes)
      default: break
      }
    }
  }

  private static func expect(_ wanted: BoolValue?, _ isCompressed: Bool) throws(RPCError) {
    guard let wanted, wanted.value != isCompressed else { return }
    throw RPCError(.invalidArgument, "the request is \(isCompressed ? "" : "not ")compressed")
  }

  private static func refuseAsAsked(_ status: EchoStatus?) throws(RPCError) {
    guard let status, status.code != 0 else { return }
    throw RPCError(StatusCode(rawValue: status.code), status.message)
  }

  private static func response(to request: SimpleRequest) throws(RPCError) -> SimpleResponse {
    let payload = try payload(request.responseSize)
    return SimpleResponse { $0.payload = payload }
  }

  private static func respond(
    to request: StreamingOutputCallRequest, _ writer: MessageWriter<StreamingOutputCallResponse>,
    _ context: ServerContext
  ) async throws {
    for parameters in request.responseParameters {
      if parameters.interval > 0 { try await context.reactor.sleep(for: .microseconds(Int64(parameters.interval))) }
      let payload = try payload(parameters.size)
      try await writer.write(
        StreamingOutputCallResponse { $0.payload = payload }, compress: parameters.compressed?.value ?? true)
    }
  }

  /// The largest payload that is made on request, in bytes: this is a test server, and not one to be filled.
  private static let maxPayload: Int32 = 64 << 20

  private static func payload(_ size: Int32) throws(RPCError) -> Payload {
    guard size >= 0, size <= maxPayload else { throw RPCError(.invalidArgument, "a payload of \(size) bytes") }
    return Payload(zeros: size)
  }
}
