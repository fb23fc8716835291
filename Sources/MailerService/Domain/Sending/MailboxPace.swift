/// How fast one mailbox may send: never more than its quota in any 60 s, all of it under steady load, and a few at once
/// after a rest. The pace itself is kept in the database (`emailmcp.paced_turn`), where it is exact across replicas.
enum MailboxPace {
  /// Gmail's price of a send, in quota units.
  static let unitsPerSend = 100

  struct Terms: Sendable, Equatable {
    var interval: Duration
    /// Requests that may start early after a rest.
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
}
