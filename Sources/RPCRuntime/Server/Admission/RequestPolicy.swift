/// What the requests of a server's loop may hold before their handlers take them, and how fast they must come.
///
/// Above a budget a call is refused with RESOURCE_EXHAUSTED and RetryInfo: of the connection that holds most, the newest
/// call of those that hold their share, so that what is nearly complete gets through and small requests are spared.
/// Counted in `rpc_http2_limits_total` as `request_bytes` and `request_rate`.
public struct RequestPolicy: Sendable {
  /// Bytes of requests that one loop holds: parts of messages, and messages that wait for their handler. A request of
  /// the largest size has room in any case.
  public var maxBufferedBytes = 48 * 1024 * 1024
  /// The same of one connection. All its streams together can fill it with their windows, not more.
  public var maxBufferedBytesPerConnection = 32 * 1024 * 1024
  /// Bytes a second that a message which has begun, or the only request of a call, must bring while the server takes
  /// them. Below it the call ends with DEADLINE_EXCEEDED. As of the HTTP server's bodies.
  public var minRate = 1024
  /// Over how long that is judged.
  public var rateWindow = Duration.seconds(10)

  public init() {}
}
