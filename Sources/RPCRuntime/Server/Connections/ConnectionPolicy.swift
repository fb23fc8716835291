/// How long a server keeps a connection, and what it takes from a client that asks whether it is there. Times are kept to
/// about a second.
///
/// Spec: gRPC A8, A9 and A18, https://github.com/grpc/proposal
public struct ConnectionPolicy: Sendable {
  /// Open connections of one loop; further ones are closed at once, counted in `rpc_http2_limits_total` as `connections`.
  public var maxConnections = 10_000
  /// Pings that come faster than this are strikes, unless the server has sent something since the last one; the third
  /// strike ends the connection with ENHANCE_YOUR_CALM "too_many_pings". gRPC's own default.
  public var minPingInterval = Duration.seconds(300)
  /// Whether a client may ping at this rate while it has no call. Otherwise once in two hours.
  public var allowsPingsWithoutCalls = false
  /// The server asks a client from which nothing came for so long whether it is still there.
  public var keepaliveTime = Duration.seconds(7200)
  /// How long the answer to that may take before the connection counts as dead; and TCP's acknowledgement of whatever was
  /// sent, or room for it in a client that does not read.
  public var keepaliveTimeout = Duration.seconds(20)
  /// A connection as old as this, ±10 %, takes no more calls: its client connects again and finds the servers that were
  /// added meanwhile. Nil: connections may grow old.
  public var maxAge: Duration?
  /// How long the calls of such a connection may go on before it is closed; nil: until they end.
  public var maxAgeGrace: Duration?
  /// A connection without calls for so long is closed; nil: it stays.
  public var maxIdle: Duration?

  public init() {}
}
