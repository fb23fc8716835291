/// What the owner of a service tells its clients: gRPC's service config as a typed value.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/service_config.md
public struct ServiceConfiguration: Sendable {
  /// How calls are spread over the service's addresses.
  public var balancing = LoadBalancingPolicy.pickFirst

  public init() {}
}
