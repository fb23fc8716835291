/// What the edge reads from the database. Lives on one loop.
protocol EdgeStore: AnyObject {
  /// The key of this id, of whichever tenant.
  func key(_ id: String) async throws -> StoredKey?
  /// Whether any tenant, or this tenant, allows pages of an origin to call.
  func allowsOrigin(_ origin: String, tenant: String?) async throws -> Bool
  /// Takes tokens of buckets that all replicas share, all in one transaction; answers for each ask, in order. Of several
  /// for one bucket the first is served first.
  func takeTokens(_ asks: [TokenAsk]) async throws -> [TokenGrant]
  /// Writes that a key was used just now.
  func noteUse(of keyID: String, tenant: String) async throws
}

/// Answers of the database for some seconds, so that most requests need no trip. Bounded: a flood of unknown names does
/// not fill the memory, nor does it push out what is known.
final class CachingEdgeStore: EdgeStore {
  /// How long a revoked key may still be taken.
  static let lifetime: UInt64 = 5_000_000_000
  static let capacity = 10_000
  /// A key's "last used" is right to this: one write a minute and loop, however many requests.
  static let useInterval: UInt64 = 60_000_000_000

  private struct Answers<Value> {
    private var known: [String: (value: Value, until: UInt64)] = [:]
    private var unknown: [String: UInt64] = [:]

    /// What is known of the name, nil for "it is unknown"; nil where that is to be asked.
    func answer(to name: String, at now: UInt64) -> Value?? {
      if let entry = known[name], now < entry.until { return .some(entry.value) }
      if let until = unknown[name], now < until { return .some(nil) }
      return nil
    }

    mutating func keep(_ value: Value?, of name: String, until: UInt64) {
      if let value {
        if known.count >= CachingEdgeStore.capacity { known.removeAll(keepingCapacity: true) }
        known[name] = (value, until)
        unknown[name] = nil
      } else {
        if unknown.count >= CachingEdgeStore.capacity { unknown.removeAll(keepingCapacity: true) }
        unknown[name] = until
        known[name] = nil
      }
    }
  }

  private let store: any EdgeStore
  private let now: () -> UInt64
  private var keys = Answers<StoredKey>()
  private var origins = Answers<Void>()
  private var uses: [String: UInt64] = [:]
  private let background: (@escaping () async throws -> Void) -> Void

  /// - Parameter background: runs what no request waits for.
  init(
    _ store: any EdgeStore, background: @escaping (@escaping () async throws -> Void) -> Void,
    now: @escaping () -> UInt64
  ) {
    self.store = store
    self.background = background
    self.now = now
  }

  func key(_ id: String) async throws -> StoredKey? {
    if let answer = keys.answer(to: id, at: now()) { return answer }
    // The age counts from before the question: what was read may already have been changing.
    let until = now() + Self.lifetime
    let value = try await store.key(id)
    keys.keep(value, of: id, until: until)
    return value
  }

  func allowsOrigin(_ origin: String, tenant: String?) async throws -> Bool {
    let name = "\(tenant ?? "") \(origin)"
    if let answer = origins.answer(to: name, at: now()) { return answer != nil }
    let until = now() + Self.lifetime
    let value = try await store.allowsOrigin(origin, tenant: tenant)
    origins.keep(value ? () : nil, of: name, until: until)
    return value
  }

  func takeTokens(_ asks: [TokenAsk]) async throws -> [TokenGrant] { try await store.takeTokens(asks) }

  /// At most once a minute a key, and beside the request. A write that fails costs a minute of freshness.
  func noteUse(of keyID: String, tenant: String) {
    let moment = now()
    if let last = uses[keyID], moment < last + Self.useInterval { return }
    if uses.count >= Self.capacity { uses.removeAll(keepingCapacity: true) }
    uses[keyID] = moment
    background { [store] in try await store.noteUse(of: keyID, tenant: tenant) }
  }
}
