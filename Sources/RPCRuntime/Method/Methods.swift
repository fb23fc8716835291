public import WireCodec

/// One request, one answer.
public struct UnaryMethod<Request: WireMessage, Response: WireMessage>: Sendable {
  public let descriptor: MethodDescriptor

  /// - Parameters:
  ///   - service: the service with its package, `emailmcp.mailer.v1.Mailer`.
  ///   - name: the method, `SendMessage`.
  ///   - isSafe: whether a call may run several times at once and do no harm, as protobuf's `idempotency_level` says it.
  ///     No other method is hedged.
  public init(_ service: String, _ name: String, isSafe: Bool = false) {
    descriptor = MethodDescriptor(service: service, name: name, kind: .unary, isSafe: isSafe)
  }
}

/// One request, any number of answers.
public struct ServerStreamingMethod<Request: WireMessage, Response: WireMessage>: Sendable {
  public let descriptor: MethodDescriptor

  public init(_ service: String, _ name: String) {
    descriptor = MethodDescriptor(service: service, name: name, kind: .serverStreaming)
  }
}

/// Any number of requests, one answer.
public struct ClientStreamingMethod<Request: WireMessage, Response: WireMessage>: Sendable {
  public let descriptor: MethodDescriptor

  public init(_ service: String, _ name: String) {
    descriptor = MethodDescriptor(service: service, name: name, kind: .clientStreaming)
  }
}

/// Any number of requests and answers, each side at its own pace.
public struct BidirectionalMethod<Request: WireMessage, Response: WireMessage>: Sendable {
  public let descriptor: MethodDescriptor

  public init(_ service: String, _ name: String) {
    descriptor = MethodDescriptor(service: service, name: name, kind: .bidirectional)
  }
}
