/// How a channel spreads its calls over the addresses of its target.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/load-balancing.md
public struct LoadBalancingPolicy: Sendable, Hashable {
  enum Kind: Hashable {
    case pickFirst
    case roundRobin
    case leastRequest(choices: Int)
  }

  let kind: Kind

  /// One connection, to the first address that answers; the next address is tried 250 ms after the one before it or as
  /// soon as that failed, the families in turn (Happy Eyeballs, RFC 8305). gRPC's default.
  public static let pickFirst = Self(kind: .pickFirst)

  /// A connection to each address; they take calls in turn.
  public static let roundRobin = Self(kind: .roundRobin)

  /// A connection to each address; a call goes to the one with the fewest calls in flight among some drawn at random.
  ///
  /// - Parameter choices: how many are drawn, 2 to 10 (gRPC proposal A48).
  public static func leastRequest(choices: Int = 2) -> Self {
    Self(kind: .leastRequest(choices: min(max(choices, 2), 10)))
  }

  var connectsToAll: Bool { kind != .pickFirst }
}
