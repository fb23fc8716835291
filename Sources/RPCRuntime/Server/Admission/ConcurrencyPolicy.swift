/// How many calls a server works on at one time, on each loop. Above that it says RESOURCE_EXHAUSTED with a RetryInfo at
/// once: an answer that comes too late is work for nobody. Health checks are always answered.
public struct ConcurrencyPolicy: Sendable {
  /// Handlers that run at one time.
  public var maxCalls = 10_000
  /// Unary calls that may wait for their turn.
  public var maxQueuedCalls = 1000
  /// How long such a call may wait, to about a second.
  public var maxQueueTime = Duration.seconds(1)
  /// With it the number of unary calls follows their latency, so that the server sheds before queues build inside it.
  /// Nil: `maxCalls` alone.
  public var adaptive: Adaptive?

  public init() {}

  /// The bounds of the limit that follows the latency.
  public struct Adaptive: Sendable {
    /// Where it begins.
    public var initial = 100
    /// It never falls below: methods of different length are no overload.
    public var minimum = 20
    public var maximum = 10_000

    public init() {}
  }
}
