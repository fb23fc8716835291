import EventLoop

/// The bound on a tenant's accepted but unsent mail. Counted in the database now and then, and estimated upwards between:
/// exact to what is accepted within one interval.
final class UnsentLimit {
  static let interval: Duration = .seconds(2)

  private struct Count {
    var waiting: Int
    var countedAt: Instant
    var isCounting = false
  }

  private let reactor: Reactor
  private let store: MailStore
  let limit: Int
  private var counts: [String: Count] = [:]

  init(reactor: Reactor, store: MailStore, limit: Int) {
    self.reactor = reactor
    self.store = store
    self.limit = limit
  }

  /// Whether one more may be accepted. Only the first look at a tenant waits for the database.
  func admits(_ tenantID: String) async throws -> Bool {
    guard var count = counts[tenantID] else {
      let waiting = try await store.unsent(tenantID: tenantID, limit: limit + 1)
      counts[tenantID] = Count(waiting: waiting, countedAt: .current())
      return waiting < limit
    }
    if reactor.now - count.countedAt > Self.interval, !count.isCounting {
      count.isCounting = true
      counts[tenantID] = count
      reactor.spawn { [self] in
        let waiting = try? await store.unsent(tenantID: tenantID, limit: limit + 1)
        counts[tenantID] = Count(waiting: waiting ?? count.waiting, countedAt: .current())
      }
    }
    return count.waiting < limit
  }

  /// A mail was queued.
  func added(_ tenantID: String) { counts[tenantID]?.waiting += 1 }
}
