/// The share of its pace that a mailbox, or the whole project, may use: learnt downward from Gmail's refusals, and given
/// back evenly with time, like the congestion window of a network protocol. So a limit that is lower than the settings say,
/// or shared with others whom we do not see, is found and kept to.
///
/// The service's own is in the database (`emailmcp.pace_share`, `cut_share`), where all replicas share it; this is the same
/// arithmetic as a value, which tests hold the database's to.
struct PaceShare {
  /// What is left of it after a refusal.
  static let cut = 0.7
  /// Refusals within this time are one: they were on their way together.
  static let hold: Duration = .seconds(10)
  /// From nothing back to the whole.
  static let recovery: Duration = .seconds(600)
  /// Never less than this, so that the way back is found.
  static let least = 1.0 / 64

  /// As of `since`.
  private(set) var share = 1.0
  /// When it was last cut; nil: never.
  private(set) var since: Duration?

  init() {}

  init(share: Double, since: Duration) {
    self.share = share
    self.since = since
  }

  func value(at now: Duration) -> Double {
    guard let since, share < 1, now - since <= Self.recovery else { return 1 }
    return min(1, share + max(0, (now - since) / Self.recovery))
  }

  mutating func refused(at now: Duration) {
    if let since, since > now - Self.hold { return }
    share = max(Self.least, value(at: now) * Self.cut)
    since = now
  }
}
