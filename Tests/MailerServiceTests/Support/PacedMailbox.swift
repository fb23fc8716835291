@testable import MailerService

/// The arithmetic of `emailmcp.paced_turn` as a value: what it promises is shown of this one, and tests hold the
/// database's, and `MailboxCapacity`, to it.
///
/// Every send moves `nextFree` one interval on. Whoever comes at or after `nextFree` goes; whoever comes earlier spends
/// credit. Credit is earned by rest alone, one interval's worth a send, so each early send is paid for twice: by the
/// rest before it and by the debt (`nextFree` ahead of the clock) after it. Hence a window of 60 s, wherever it begins,
/// holds no more than the quota: a burst at its start is followed by its debt, one at its end is preceded by its rest.
struct PacedMailbox {
  private(set) var nextFree: Duration?
  private(set) var credit = 0

  /// Takes a turn at `now`, or tells when the next one is.
  mutating func take(at now: Duration, _ terms: MailboxPace.Terms) -> Turn {
    let next = nextFree ?? now - terms.interval * (terms.burst + 1)
    if now >= next {
      let rested = Int((now - next) / terms.interval)
      credit = min(terms.burst, credit + rested)
      nextFree = now + terms.interval
      return .go
    }
    guard credit > 0 else { return .wait(until: next) }
    credit -= 1
    nextFree = next + terms.interval
    return .go
  }

  enum Turn: Equatable {
    case go
    case wait(until: Duration)
  }
}
