/// How fast one mailbox may send: never more than its quota in any 60 s, all of it under steady load, and a few at once
/// after a rest.
///
/// Every send moves `nextFree` one interval on. Whoever comes at or after `nextFree` goes; whoever comes earlier spends
/// credit. Credit is earned by rest alone, one interval's worth a send, so each early send is paid for twice: by the
/// rest before it and by the debt (`nextFree` ahead of the clock) after it. Hence a window of 60 s, wherever it begins,
/// holds no more than the quota: a burst at its start is followed by its debt, one at its end is preceded by its rest.
///
/// The service paces in the database (`emailmcp.paced_turn`), where it is exact across replicas. This is the same arithmetic as
/// a value: what it promises is shown of this one, and tests hold the database's, and `MailboxCapacity`, to it.
struct MailboxPace: Sendable, Equatable {
  /// Gmail's price of a send, in quota units.
  static let unitsPerSend = 100

  struct Terms: Sendable, Equatable {
    var interval: Duration
    var burst: Int
    /// Recipients in any 24 hours.
    var dailyRecipients: Int32

    /// - Parameter unitsPerMinute: Google's quota of a user of the project.
    init(unitsPerMinute: Int, dailyRecipients: Int = .max) {
      self.dailyRecipients = Int32(clamping: dailyRecipients)
      let sends = max(1, unitsPerMinute / MailboxPace.unitsPerSend)
      interval = .nanoseconds((60_000_000_000 + Int64(sends) - 1) / Int64(sends))
      burst = min(sends / 6, 20)
    }
  }

  private(set) var nextFree: Duration?
  private(set) var credit = 0

  /// Takes a turn at `now`, or tells when the next one is.
  mutating func take(at now: Duration, _ terms: Terms) -> Turn {
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

  enum Turn: Sendable, Equatable {
    case go
    case wait(until: Duration)
  }
}
