import Synchronization

/// Mailboxes that this process has queued mail for while they were busy: when their request ends, the queue is looked at
/// at once instead of at the next turn. A hint only; looking now and again finds everything.
final class QueuedMailboxes: Sendable {
  /// More are left to the next turn.
  static let capacity = 10_000

  private let mailboxes = Mutex<Set<String>>([])

  func add(_ googleSub: String) {
    mailboxes.withLock { if $0.count < Self.capacity { $0.insert(googleSub) } }
  }

  /// The mailbox is free again: whether mail was queued for it since the last time.
  func take(_ googleSub: String) -> Bool { mailboxes.withLock { $0.remove(googleSub) != nil } }
}
