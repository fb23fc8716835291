import EventLoop

/// Renews a lease while a request to Gmail, or for a token, is under way, however long that takes. Mostly it ends before it began: a timer
/// set and cancelled.
final class LeaseRenewal {
  private let reactor: Reactor
  private let renew: () async throws -> Bool
  private let wait: (Bool?) -> Duration?
  private var timer: Timer?
  private var task: Task<Void, any Error>?

  /// - Parameter wait: how long until the next renewal, after one with this answer; nil: there is none.
  init(
    reactor: Reactor, wait: @escaping (_ isMine: Bool?) -> Duration? = Lease.wait(afterRenewal:),
    renew: @escaping () async throws -> Bool
  ) {
    self.reactor = reactor
    self.wait = wait
    self.renew = renew
  }

  convenience init(reactor: Reactor, store: MailStore, key: MailKey, epoch: Int64) {
    self.init(reactor: reactor) { try await store.renewLease(key, epoch: epoch) }
  }

  func start() {
    guard let first = wait(true) else { return }
    timer = reactor.schedule(after: first) { [self] in
      task = reactor.spawn { [self] in
        // A lease that cannot be renewed lapses; the outcome is then fenced off, and the mail is named unknown.
        while let next = wait(try? await renew()) { try await reactor.sleep(for: next) }
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
