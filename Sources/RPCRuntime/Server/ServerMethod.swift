import WireCodec

/// A registered method: the one place where its message types are erased, by class.
class ServerMethod {
  let descriptor: MethodDescriptor
  let options: MethodOptions
  let maxRequestBytes: Int
  let metrics: CallMetrics
  /// Stands under the limit that follows the latency.
  let isMeasured: Bool

  init(_ descriptor: MethodDescriptor, _ options: MethodOptions, maxRequestBytes: Int, metricName: String? = nil) {
    self.descriptor = descriptor
    self.options = options
    self.maxRequestBytes = maxRequestBytes
    isMeasured = descriptor.kind == .unary && options.latencyShowsLoad
    metrics = CallMetrics(.server, method: metricName ?? descriptor.fullName)
  }

  /// Runs the handler to its end; what it throws is the call's outcome.
  func invoke(_ call: ServerCall) async throws { fatalError("overridden by every kind of method") }
}

final class UnaryServerMethod<Request: WireMessage, Response: WireMessage>: ServerMethod {
  private let handler: (Request, ServerContext) async throws -> Response

  init(
    _ descriptor: MethodDescriptor, _ options: MethodOptions, maxRequestBytes: Int,
    _ handler: @escaping (Request, ServerContext) async throws -> Response
  ) {
    self.handler = handler
    super.init(descriptor, options, maxRequestBytes: maxRequestBytes)
  }

  override func invoke(_ call: ServerCall) async throws {
    try await call.sendOnlyMessage(try await handler(try await call.onlyRequest(), ServerContext(call: call)))
  }
}

final class ServerStreamingServerMethod<Request: WireMessage, Response: WireMessage>: ServerMethod {
  private let handler: (Request, MessageWriter<Response>, ServerContext) async throws -> Void

  init(
    _ descriptor: MethodDescriptor, _ options: MethodOptions, maxRequestBytes: Int,
    _ handler: @escaping (Request, MessageWriter<Response>, ServerContext) async throws -> Void
  ) {
    self.handler = handler
    super.init(descriptor, options, maxRequestBytes: maxRequestBytes)
  }

  override func invoke(_ call: ServerCall) async throws {
    try await handler(
      try await call.onlyRequest(), MessageWriter(call: call, guardian: nil), ServerContext(call: call))
  }
}

final class ClientStreamingServerMethod<Request: WireMessage, Response: WireMessage>: ServerMethod {
  private let handler: (MessageReader<Request>, ServerContext) async throws -> Response

  init(
    _ descriptor: MethodDescriptor, _ options: MethodOptions, maxRequestBytes: Int,
    _ handler: @escaping (MessageReader<Request>, ServerContext) async throws -> Response
  ) {
    self.handler = handler
    super.init(descriptor, options, maxRequestBytes: maxRequestBytes)
  }

  override func invoke(_ call: ServerCall) async throws {
    try await call.sendOnlyMessage(
      try await handler(MessageReader(call: call, guardian: nil), ServerContext(call: call)))
  }
}

final class BidirectionalServerMethod<Request: WireMessage, Response: WireMessage>: ServerMethod {
  private let handler: (MessageReader<Request>, MessageWriter<Response>, ServerContext) async throws -> Void

  init(
    _ descriptor: MethodDescriptor, _ options: MethodOptions, maxRequestBytes: Int,
    _ handler: @escaping (MessageReader<Request>, MessageWriter<Response>, ServerContext) async throws -> Void
  ) {
    self.handler = handler
    super.init(descriptor, options, maxRequestBytes: maxRequestBytes)
  }

  override func invoke(_ call: ServerCall) async throws {
    try await handler(
      MessageReader(call: call, guardian: nil), MessageWriter(call: call, guardian: nil), ServerContext(call: call))
  }
}
