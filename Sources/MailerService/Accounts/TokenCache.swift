import CivilTime
import Synchronization

/// Access tokens that were used lately, shared by the loops of a process. In memory only.
final class TokenCache: Sendable {
  /// Entries; one takes about 500 bytes.
  static let capacity = 100_000
  /// A token with less than this left is not used: a request must end before it does.
  static let reserve: Duration = .seconds(60)

  private let tokens = Mutex<[UserKey: AccessToken]>([:])

  func token(of user: UserKey, now: Timestamp) -> AccessToken? {
    guard let token = tokens.withLock({ $0[user] }), token.expiresAt > now + Self.reserve else { return nil }
    return token
  }

  /// Keeps a token unless a newer one is there.
  func keep(_ token: AccessToken, of user: UserKey, now: Timestamp) {
    tokens.withLock { tokens in
      if let known = tokens[user],
        (known.account.grantVersion, known.version) > (token.account.grantVersion, token.version)
      {
        return
      }
      if tokens.count >= Self.capacity, tokens[user] == nil { Self.makeRoom(in: &tokens, now: now) }
      tokens[user] = token
    }
  }

  private static func makeRoom(in tokens: inout [UserKey: AccessToken], now: Timestamp) {
    tokens = tokens.filter { $0.value.expiresAt > now }
    // All alive: a tenth goes, whichever; each comes back at the price of one call.
    if tokens.count >= capacity { for user in tokens.keys.prefix(capacity / 10) { tokens[user] = nil } }
  }

  /// Forgets a user's token; with `version`, only that one.
  func drop(_ user: UserKey, version: Int64? = nil) {
    tokens.withLock { tokens in
      if let version, tokens[user]?.version != version { return }
      tokens[user] = nil
    }
  }

  func dropAll() { tokens.withLock { $0 = [:] } }
}
