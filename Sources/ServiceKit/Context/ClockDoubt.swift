package import CivilTime
internal import Synchronization

/// Whether this machine's clock is the one that is wrong.
///
/// That two clocks are too far apart shows where a call's context is refused for its times, at both ends. Which of them is
/// wrong the database's clock says. That one is asked only then: alone it must not take a whole installation out of service
/// whose other clocks agree.
package final class ClockDoubt: Sendable {
  private let isRaised = Atomic(false)

  package init() {}

  /// A context was refused, by us or by a peer.
  package func raise() { isRaised.store(true, ordering: .relaxed) }

  /// How far this clock is off, in seconds, positive when it is ahead; nil: it is not, or nobody has met it.
  package func judge(now: Timestamp, byDatabase: Timestamp) -> Int64? {
    let ahead = now - byDatabase
    guard ahead.magnitude > ContextVerifier.allowedSkew else {
      isRaised.store(false, ordering: .relaxed)
      return nil
    }
    return isRaised.load(ordering: .relaxed) ? ahead.components.seconds : nil
  }
}

extension Duration {
  fileprivate var magnitude: Duration { self < .zero ? .zero - self : self }
}
