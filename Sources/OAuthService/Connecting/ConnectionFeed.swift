import EventLoop

/// A change of a connection, as the watchers are told of it.
struct ConnectionNotice: Hashable, Sendable {
  let user: UserKey
  let status: ConnectionStatus
  let grantVersion: Int64
}

/// Hands notices from the database to those who watch, on one loop. Bounded: a watcher that does not read is dropped,
/// for a late notice is worth less than the memory; it begins anew and then trusts nothing that it kept.
final class ConnectionFeed {
  static let queueLimit = 1024

  private let reactor: Reactor
  private var watchers: [ObjectIdentifier: Watcher] = [:]
  private var isListening = false
  private var listeningWaiters: [Waiter<Void>] = []

  /// Ends a watch; the caller begins anew.
  struct Lost: Error {}

  final class Watcher {
    fileprivate var queue: [ConnectionNotice] = []
    fileprivate var isLost = false
    fileprivate var waiter: Waiter<Void>?
  }

  init(reactor: Reactor) { self.reactor = reactor }

  /// The database's notices come from now on. Those that came in between are lost, and with them every watch.
  func listeningBegan() {
    isListening = true
    for waiter in listeningWaiters { waiter.resume(returning: ()) }
    listeningWaiters = []
    for watcher in watchers.values { lose(watcher) }
  }

  func publish(_ notice: ConnectionNotice) {
    for watcher in watchers.values {
      if watcher.queue.count >= Self.queueLimit {
        lose(watcher)
      } else {
        watcher.queue.append(notice)
        watcher.waiter?.resume(returning: ())
      }
    }
  }

  /// Begins a watch, once notices come at all.
  func watch() async throws -> Watcher {
    while !isListening { try await reactor.wait { listeningWaiters.append($0) } }
    let watcher = Watcher()
    watchers[ObjectIdentifier(watcher)] = watcher
    return watcher
  }

  /// All notices that have come since the last call, at least one.
  func next(_ watcher: Watcher) async throws -> [ConnectionNotice] {
    while watcher.queue.isEmpty {
      if watcher.isLost { throw Lost() }
      try await reactor.wait { watcher.waiter = $0 }
    }
    defer { watcher.queue = [] }
    return watcher.queue
  }

  func end(_ watcher: Watcher) { watchers[ObjectIdentifier(watcher)] = nil }

  private func lose(_ watcher: Watcher) {
    watcher.isLost = true
    watcher.queue = []
    watchers[ObjectIdentifier(watcher)] = nil
    watcher.waiter?.resume(returning: ())
  }
}
