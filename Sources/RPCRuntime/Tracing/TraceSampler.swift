/// Which traces are kept, as a value.
public struct TraceSampler: Sendable, Hashable {
  /// Of the traces that begin here, 0 to 1.
  public var ratio: Double
  /// Whether a trace that began elsewhere is kept when it was kept there, and only then.
  public var followsParent: Bool

  public init(ratio: Double = 1, followsParent: Bool = true) {
    self.ratio = ratio
    self.followsParent = followsParent
  }

  /// By the trace's id, so that every process decides alike.
  func keeps(_ traceID: UInt128, parent: TraceContext?) -> Bool {
    if followsParent, let parent { return parent.isSampled }
    if ratio >= 1 { return true }
    return ratio > 0 && Double(UInt64(truncatingIfNeeded: traceID) >> 1) < ratio * 0x1p63
  }
}
