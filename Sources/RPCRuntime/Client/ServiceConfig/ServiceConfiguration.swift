/// What the owner of a service tells its clients: gRPC's service config as a typed value, set in code or read from its
/// JSON form with `init(json:)`.
///
/// ```swift
/// configuration.service.balancing = .roundRobin
/// configuration.service.configure(Greeter.sayHello.descriptor, MethodConfiguration(repetition: .retry(RetryPolicy())))
/// ```
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/service_config.md
public struct ServiceConfiguration: Sendable, Hashable {
  /// How calls are spread over the service's addresses.
  public var balancing = LoadBalancingPolicy.pickFirst
  /// The budget of retries and hedges.
  public var retryThrottle = RetryThrottle()
  /// Whose `grpc.health.v1` state decides whether a server gets calls; "" for the whole server. For policies that use all
  /// addresses. Nil: a connection is enough.
  public var healthCheckedService: String?
  /// Whether servers that keep failing get no calls for a while. Nil: they do.
  public var outlierDetection: OutlierDetection?
  /// For methods that nobody configured.
  public var defaults = MethodConfiguration()
  /// By `package.Service/Method`, or `package.Service/` for all others of the service.
  private var methods: [String: MethodConfiguration] = [:]

  public init() {}

  /// What one method wants.
  public mutating func configure(_ method: MethodDescriptor, _ configuration: MethodConfiguration) {
    methods[method.fullName] = configuration
  }

  /// What the other methods of a service want.
  ///
  /// - Parameter service: `package.Service`.
  public mutating func configure(service: String, _ configuration: MethodConfiguration) {
    methods["\(service)/"] = configuration
  }

  /// - Parameter name: `package.Service/Method`, `package.Service/`, or "" for all methods that are not named.
  mutating func configure(name: String, _ configuration: MethodConfiguration) {
    if name.isEmpty { defaults = configuration } else { methods[name] = configuration }
  }

  /// What cannot be done of what an entry for this method alone says; nil when all can.
  package func mistake(about method: MethodDescriptor) -> String? {
    guard case .hedge? = methods[method.fullName]?.repetition, !method.mayHedge else { return nil }
    return "hedges \(method), which is no unary method that is marked safe"
  }

  func configuration(of method: MethodDescriptor) -> MethodConfiguration {
    methods[method.fullName] ?? methods["\(method.service)/"] ?? defaults
  }
}
