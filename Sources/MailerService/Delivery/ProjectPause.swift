import CivilTime
import EventLoop
import Synchronization

/// What all mailboxes of the project share, as far as this process knows: a pause that Google told it to make, and the
/// project's quota a minute, of which this process alone takes no more than all.
final class ProjectPause: Sendable {
  private struct State {
    var until: Instant?
    /// When the starts so far are paid for: the quota as a line of evenly spaced turns.
    var paidUntil: Instant?
  }

  private let interval: Duration
  private let burst: Duration
  private let state = Mutex(State())

  /// - Parameter unitsPerMinute: Google's quota of the project.
  init(unitsPerMinute: Int) {
    let sends = max(1, unitsPerMinute / MailboxPace.unitsPerSend)
    interval = .nanoseconds(60_000_000_000 / Int64(sends))
    // A second's worth may go at once, and each start counts 61/60 of its even share: together a minute holds the quota.
    burst = .seconds(1)
  }

  /// Nothing goes before `until`.
  func pause(until: Instant) {
    state.withLock { $0.until = max($0.until ?? until, until) }
  }

  func isPaused(at now: Instant) -> Bool {
    state.withLock { state in
      if let until = state.until, until > now { return true }
      if let paid = state.paidUntil, paid > now + burst { return true }
      return false
    }
  }

  /// Counts a request that is about to start.
  func count(at now: Instant) {
    state.withLock { $0.paidUntil = max($0.paidUntil ?? now, now) + interval * 61 / 60 }
  }
}
