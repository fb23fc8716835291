/// When a server that keeps failing gets no calls for a while. For policies that use all addresses.
///
/// A failure is an attempt that ends with UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE or DATA_LOSS: what the server
/// refuses for good reason does not count against it. CANCELLED counts as nothing: a caller gave up, or another attempt was
/// faster; nor does an attempt that the server has certainly not processed, since it was stopping.
///
/// Spec: gRPC proposal A50, whose names and defaults these are, and Envoy's consecutive failures.
public struct OutlierDetection: Sendable, Hashable {
  /// Failures in a row after which a server is ejected at once. Nil: not by this.
  public var consecutiveFailures: Int? = 5
  /// Between looks at the success rates.
  public var interval = Duration.seconds(10)
  /// How long the first ejection lasts; each further one lasts longer by this.
  public var baseEjectionTime = Duration.seconds(30)
  public var maxEjectionTime = Duration.seconds(300)
  /// No further server is ejected while so many of them are, in per cent. One may always be, if there is another.
  public var maxEjectionPercent = 10
  /// A server is ejected when its success rate is so many standard deviations below the mean. Nil: not by this.
  public var successRateDeviations: Double? = 1.9
  /// What is found by the success rates is done so often, in per cent.
  public var successRateEnforcement = 100
  /// Success rates are compared among at least so many servers,
  public var minimumHosts = 5
  /// of which each has had so many calls in the interval.
  public var requestVolume = 100
  /// When a server's own share of failures alone ejects it. Nil: not by this.
  public var failurePercentage: FailurePercentage?

  public init() {}

  /// Failures of one server in an interval, whatever the others do.
  public struct FailurePercentage: Sendable, Hashable {
    /// Ejected above this share of failed calls, in per cent.
    public var threshold = 85
    /// The channel has at least so many servers that were called often enough,
    public var minimumHosts = 5
    /// which means so many calls in the interval.
    public var requestVolume = 50
    /// What is found is done so often, in per cent.
    public var enforcement = 100

    public init() {}
  }

  static let failures: Set<StatusCode> = [.unknown, .deadlineExceeded, .internal, .unavailable, .dataLoss]
}
