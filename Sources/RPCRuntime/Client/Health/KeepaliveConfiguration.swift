/// How a channel finds out that a connection is dead though nobody closed it: it pings a peer that is silent.
///
/// Spec: gRPC proposals A8 and A18.
public struct KeepaliveConfiguration: Sendable, Hashable {
  /// After so long without a byte from the server a PING goes. At least 10 s; doubled when the server says that these are
  /// too many.
  public let time: Duration
  /// Without any byte for so long after a PING the connection is closed, and its calls end with UNAVAILABLE; so they do when
  /// TCP's acknowledgement of whatever was sent takes as long (TCP_USER_TIMEOUT), or room for it at a server that does not
  /// read.
  public let timeout: Duration
  /// Whether to ping while no call is in flight. The server must allow it.
  public let permitWithoutCalls: Bool

  /// - Parameter time: raised to 10 s, the least that servers have to bear.
  public init(time: Duration, timeout: Duration = .seconds(20), permitWithoutCalls: Bool = false) {
    self.init(exactly: max(time, .seconds(10)), timeout: timeout, permitWithoutCalls: permitWithoutCalls)
  }

  /// Also with a shorter time: for tests.
  init(exactly time: Duration, timeout: Duration, permitWithoutCalls: Bool) {
    self.time = time
    self.timeout = timeout
    self.permitWithoutCalls = permitWithoutCalls
  }

  /// What a client pings by after the server called its pings too many.
  var calmer: Self { Self(exactly: time * 2, timeout: timeout, permitWithoutCalls: permitWithoutCalls) }
}
