import EventLoop

/// Renews a lease while a request to Gmail, or for a token, is under way, however long that takes. Mostly it ends before it began: a timer
/// set and cancelled.
final class LeaseRenewal {
  private let reactor: Reactor
  private let store: MailStore
  private let key: MailKey
  private let epoch: Int64
  private var timer: Timer?
  private var task: Task<Void, any Error>?

  init(reactor: Reactor, store: MailStore, key: MailKey, epoch: Int64) {
    self.reactor = reactor
    self.store = store
    self.key = key
    self.epoch = epoch
  }

  func start() {
    timer = reactor.schedule(after: Lease.renewal) { [self] in
      task = reactor.spawn { [self] in
        // A lease that cannot be renewed lapses; the outcome is then fenced off, and the mail is named unknown.
        while true {
          let isMine = try? await store.renewLease(key, epoch: epoch)
          guard let wait = Lease.wait(afterRenewal: isMine) else { return }
          try await reactor.sleep(for: wait)
        }
      }
    }
  }

  func stop() {
    timer?.cancel()
    timer = nil
    task?.cancel()
    task = nil
  }
}
