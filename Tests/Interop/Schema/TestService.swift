public import RPCRuntime

/// `grpc.testing.TestService`, as Debian's package grpc-proto has it (grpc/testing/test.proto).
public enum TestService {
  public static let name = "grpc.testing.TestService"

  public static let emptyCall = UnaryMethod<Empty, Empty>(name, "EmptyCall")
  public static let unaryCall = UnaryMethod<SimpleRequest, SimpleResponse>(name, "UnaryCall")
  public static let cacheableUnaryCall = UnaryMethod<SimpleRequest, SimpleResponse>(name, "CacheableUnaryCall")
  public static let streamingOutputCall =
    ServerStreamingMethod<StreamingOutputCallRequest, StreamingOutputCallResponse>(name, "StreamingOutputCall")
  public static let streamingInputCall =
    ClientStreamingMethod<StreamingInputCallRequest, StreamingInputCallResponse>(name, "StreamingInputCall")
  public static let fullDuplexCall =
    BidirectionalMethod<StreamingOutputCallRequest, StreamingOutputCallResponse>(name, "FullDuplexCall")
  public static let halfDuplexCall =
    BidirectionalMethod<StreamingOutputCallRequest, StreamingOutputCallResponse>(name, "HalfDuplexCall")
  /// No server implements it.
  public static let unimplementedCall = UnaryMethod<Empty, Empty>(name, "UnimplementedCall")
}

/// `grpc.testing.XdsUpdateHealthService`: tells the server what to say of its health.
public enum HealthUpdates {
  public static let name = "grpc.testing.XdsUpdateHealthService"

  public static let setServing = UnaryMethod<Empty, Empty>(name, "SetServing")
  public static let setNotServing = UnaryMethod<Empty, Empty>(name, "SetNotServing")
}

/// A service that no server has.
public enum UnimplementedService {
  public static let unimplementedCall = UnaryMethod<Empty, Empty>(
    "grpc.testing.UnimplementedService", "UnimplementedCall")
}

/// The metadata that the server sends back.
public enum EchoedMetadata {
  public static let initial: Metadata.Name = "x-grpc-test-echo-initial"
  public static let trailing: Metadata.Name = "x-grpc-test-echo-trailing-bin"
}
