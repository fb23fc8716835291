import CivilTime
import Synchronization

/// Google's keys for all loops of the process.
final class SharedKeyCache: Sendable {
  private let cache = Mutex(KeyCache())

  func lookup(_ id: String, now: Timestamp) -> KeyCache.Lookup { cache.withLock { $0.lookup(id, now: now) } }

  func fetched(_ set: KeySet?, maxAge: Duration?, now: Timestamp) {
    cache.withLock { $0.fetched(set, maxAge: maxAge, now: now) }
  }
}
