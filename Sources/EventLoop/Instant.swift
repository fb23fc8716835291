import CLinux
import Glibc

/// A point of CLOCK_MONOTONIC, in nanoseconds since an arbitrary origin. It never goes back and does not follow changes
/// of the wall clock, so deadlines and back-off survive a clock change.
public struct Instant: Sendable, Hashable, Comparable {
  public var nanoseconds: Int64

  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  /// Reads the clock. On a loop, prefer `Reactor.now`, which is read once a tick.
  public static func current() -> Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

  /// Saturates instead of overflowing: a deadline that is centuries away is "never".
  public static func + (left: Instant, right: Duration) -> Instant {
    let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.wholeNanoseconds)
    return Instant(nanoseconds: overflow ? (right < .zero ? .min : .max) : sum)
  }

  public static func - (left: Instant, right: Instant) -> Duration {
    let (difference, overflow) = left.nanoseconds.subtractingReportingOverflow(right.nanoseconds)
    return .nanoseconds(overflow ? (left < right ? Int64.min : .max) : difference)
  }
}

extension Duration {
  /// The duration in whole nanoseconds, saturated to ±292 years.
  public var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, overflowed) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflowed ? (seconds < 0 ? .min : .max) : sum
  }

  /// The duration in seconds, for figures and logs.
  public var inSeconds: Double { Double(wholeNanoseconds) / 1e9 }
}
