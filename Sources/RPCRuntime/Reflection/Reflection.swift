/// The standard reflection service: what a client without schemas asks a server.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
public enum Reflection {
  /// The service's full name.
  public static let service = "grpc.reflection.v1.ServerReflection"

  /// Answers each request in turn.
  public static let serverReflectionInfo = BidirectionalMethod<Request, Response>(service, "ServerReflectionInfo")

  /// The same under the service's earlier name, which many tools still ask by first.
  public static let alphaServerReflectionInfo = BidirectionalMethod<Request, Response>(
    "grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo")
}
