import EventLoop

/// How many calls at one time a server can take before they wait for each other, found out by their latency: as long as
/// it is what it was, the limit grows by a small queue; when it rises, the limit follows it down. A value; the clock is
/// the caller's.
///
/// Source: Netflix concurrency-limits, "Gradient2", with windows instead of single samples.
struct AdaptiveLimit {
  /// Calls at one time.
  var limit: Int { Int(exact) }
  private var exact: Double
  private let bounds: ClosedRange<Double>

  /// What a call takes when nothing waits, in seconds: follows slowly upwards, quickly downwards.
  private(set) var usual: Double?
  private var windowStart: Instant?
  private var sum = 0.0
  private var count = 0
  private var peak = 0

  /// Latency counts as risen above so many times the usual one: ordinary variation stays below.
  static let tolerance = 2.0
  /// How much of a window's finding is taken over at once.
  static let smoothing = 0.2
  /// A window lasts at least so long, and has at least so many calls.
  static let windowLength = Duration.milliseconds(100)
  static let windowCalls = 10

  init(_ settings: ConcurrencyPolicy.Adaptive) {
    bounds = Double(settings.minimum)...Double(max(settings.minimum, settings.maximum))
    exact = min(max(Double(settings.initial), bounds.lowerBound), bounds.upperBound)
  }

  /// A call has ended.
  ///
  /// - Parameter running: how many ran at that time, with this one.
  mutating func ended(latency: Duration, running: Int, now: Instant) {
    let start = windowStart ?? now
    windowStart = start
    sum += latency.inSeconds
    count += 1
    peak = max(peak, running)
    guard now - start >= Self.windowLength, count >= Self.windowCalls else { return }
    adjust(latency: max(sum / Double(count), 1e-6), peak: peak)
    windowStart = nil
    sum = 0
    count = 0
    peak = 0
  }

  private mutating func adjust(latency: Double, peak: Int) {
    let before = usual ?? latency
    usual = before + (latency - before) * (latency < before ? 0.1 : 1.0 / 600)
    // Too few calls to tell anything about the limit.
    guard Double(peak) >= exact / 2 else { return }
    let gradient = min(1, max(0.5, Self.tolerance * before / latency))
    let found = exact * gradient + exact.squareRoot()
    exact = min(max(exact + (found - exact) * Self.smoothing, bounds.lowerBound), bounds.upperBound)
  }
}
