import CivilTime
import Synchronization

/// Access tokens that were used lately, shared by the loops of a process. In memory only.
final class TokenCache: Sendable {
  /// Entries; one takes about 500 bytes.
  static let capacity = 100_000
  /// A token with less than this left is not used: a request must end before it does.
  static let reserve: Duration = .seconds(60)

  private struct State {
    var tokens: [UserKey: AccessToken] = [:]
    /// How often something was forgotten, counted by the users' hashes: users that share a place only ask once more.
    var drops = [UInt64](repeating: 0, count: 1024)
  }

  private let state = Mutex(State())

  func token(of user: UserKey, now: Timestamp) -> AccessToken? {
    guard let token = state.withLock({ $0.tokens[user] }), token.expiresAt > now + Self.reserve else { return nil }
    return token
  }

  /// How often the user was forgotten until now: read it before a token is asked for.
  func drops(of user: UserKey) -> UInt64 { state.withLock { $0.drops[Self.place(of: user)] } }

  private static func place(of user: UserKey) -> Int { Int(UInt(bitPattern: user.hashValue) % 1024) }

  /// Keeps a token unless a newer one is there, or the user was forgotten since `drops` was read: the token may be of a
  /// connection that has ended on its way here, and nobody would say so again.
  func keep(_ token: AccessToken, of user: UserKey, now: Timestamp, since drops: UInt64) {
    state.withLock { state in
      guard state.drops[Self.place(of: user)] == drops else { return }
      if let known = state.tokens[user],
        (known.account.grantVersion, known.version) > (token.account.grantVersion, token.version)
      {
        return
      }
      if state.tokens.count >= Self.capacity, state.tokens[user] == nil { Self.makeRoom(in: &state.tokens, now: now) }
      state.tokens[user] = token
    }
  }

  private static func makeRoom(in tokens: inout [UserKey: AccessToken], now: Timestamp) {
    tokens = tokens.filter { $0.value.expiresAt > now }
    // All alive: a tenth goes, whichever; each comes back at the price of one call.
    if tokens.count >= capacity { for user in tokens.keys.prefix(capacity / 10) { tokens[user] = nil } }
  }

  /// Forgets a user's token; with `version`, only that one.
  func drop(_ user: UserKey, version: Int64? = nil) {
    state.withLock { state in
      if let version, state.tokens[user]?.version != version { return }
      state.tokens[user] = nil
      state.drops[Self.place(of: user)] += 1
    }
  }

  func dropAll() {
    state.withLock { state in
      state.tokens = [:]
      for place in state.drops.indices { state.drops[place] += 1 }
    }
  }
}
