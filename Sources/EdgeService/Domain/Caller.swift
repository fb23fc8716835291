/// Whom a request's credential stands for.
struct Caller: Sendable, Equatable {
  let tenant: String
  /// The API key, or the key that minted the token.
  let keyID: String
  let scopes: Set<Scope>
  /// The user that a user token is bound to; nil for an API key.
  let boundUser: UserID?

  var isUserToken: Bool { boundUser != nil }

  func may(_ scope: Scope) -> Bool { scopes.contains(scope) }
}

/// An API key as the database knows it.
struct StoredKey: Sendable, Equatable {
  let tenant: String
  let environment: String
  let authenticator: [UInt8]
  let scopes: Set<Scope>
  /// Microseconds since 1970; nil: never.
  let expiresAt: Int64?
  let isRevoked: Bool
  let isTenantDisabled: Bool

  func isLive(at now: Int64) -> Bool { !isRevoked && (expiresAt.map { now < $0 } ?? true) }
}
