package import RPCRuntime

extension ProtobufDuration {
  /// The duration, if it lies within the range; nil for one that is none: the parts of a `google.protobuf.Duration` have
  /// one sign, and its nanoseconds are less than a second.
  package func duration(in range: ClosedRange<Duration>) -> Duration? {
    guard nanos.magnitude < 1_000_000_000, seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0),
      range.contains(duration)
    else { return nil }
    return duration
  }
}
