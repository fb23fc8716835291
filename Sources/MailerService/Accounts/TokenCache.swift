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
    var drops: UInt64 = 0
  }

  private let state = Mutex(State())

  func token(of user: UserKey, now: Timestamp) -> AccessToken? {
    guard let token = state.withLock({ $0.tokens[user] }), token.expiresAt > now + Self.reserve else { return nil }
    return token
  }

  /// How often something was forgotten until now: read it before a token is asked for.
  var drops: UInt64 { state.withLock { $0.drops } }

  /// Keeps a token unless a newer one is there, or something was forgotten since `drops` was read: the token may be of a
  /// connection that has ended on its way here, and nobody would say so again.
  func keep(_ token: AccessToken, of user: UserKey, now: Timestamp, since drops: UInt64) {
    state.withLock { state in
      guard state.drops == drops else { return }
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
      state.drops += 1
    }
  }

  func dropAll() {
    state.withLock { state in
      state.tokens = [:]
      state.drops += 1
    }
  }
}
