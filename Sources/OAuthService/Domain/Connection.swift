import CivilTime
import TLSSession

/// Where a user's connection stands.
enum ConnectionStatus: String, Hashable, Sendable {
  case active
  case reauthRequired = "reauth_required"
  case disconnected
}

/// A user's account as it is stored.
struct Account: Hashable, Sendable {
  var email: String
  var googleSub: String
  var status: ConnectionStatus
  var reauthReason: String?
  var scopes: [String]
  /// One more with every consent and every disconnect: fences what a late refresh would write.
  var grantVersion: Int64
  /// One more with every refresh: names an access token.
  var tokenVersion: Int64
  /// Sealed; nil when there is none to use.
  var sealedAccessToken: [UInt8]?
  var accessTokenExpiry: Timestamp?
  /// Somebody refreshes until then, or has died doing so.
  var refreshLease: Timestamp?
  var connectedAt: Timestamp
  var lastUsedAt: Timestamp?
  /// Where the vault keeps the refresh token.
  var secretName: String?
}

/// What a caller wants of an access token.
struct TokenDemand: Hashable, Sendable {
  enum Refusal: Hashable, Sendable {
    case invalid
    case insufficientScope
  }

  static let defaultLifetime: Duration = .seconds(60)
  /// No token of Google's is asked to live longer than this.
  static let longestLifetime: Duration = .seconds(1800)

  /// How long the token must live still.
  var minimumLifetime: Duration = Self.defaultLifetime
  /// What Google said about an earlier token.
  var refused: (version: Int64, how: Refusal)?

  static func == (a: TokenDemand, b: TokenDemand) -> Bool {
    a.minimumLifetime == b.minimumLifetime && a.refused?.version == b.refused?.version
      && a.refused?.how == b.refused?.how
  }

  func hash(into hasher: inout Hasher) { hasher.combine(minimumLifetime) }

  /// What to do, given the account as it is stored now.
  func decide(_ account: Account?, now: Timestamp) -> TokenDecision {
    guard let account, account.status != .disconnected else { return .refuse(.notConnected) }
    guard account.status == .active else { return .refuse(.reauthRequired) }
    // A report about an older token than the stored one is old news: the newer one may well do.
    let isRefused = refused.map { $0.version >= account.tokenVersion } ?? false
    if isRefused, refused?.how == .insufficientScope { return .markDead(reason: "insufficient_scope") }
    if !isRefused, account.sealedAccessToken != nil, let expiry = account.accessTokenExpiry,
      now + minimumLifetime < expiry
    {
      return .answer
    }
    if let lease = account.refreshLease, now < lease { return .wait(until: lease) }
    return .refresh
  }
}

/// What a demand for an access token leads to.
enum TokenDecision: Hashable, Sendable {
  /// The stored token will do.
  case answer
  /// Take the refresh lease and ask Google.
  case refresh
  /// Another process is asking Google; look again.
  case wait(until: Timestamp)
  /// Google will not honour the grant any more.
  case markDead(reason: String)
  case refuse(OAuthFailure)
}

/// A consent that may be stored: everything that Google said has been checked.
struct VerifiedConsent: Sendable {
  let identity: GoogleIdentity
  let scopes: [String]
  let accessToken: SecretBytes
  let accessTokenExpiry: Timestamp
  let refreshToken: SecretBytes
  let refreshTokenExpiry: Timestamp?

  /// - Throws: what stands against it; then nothing is stored.
  init(
    _ grant: TokenGrant, identity: GoogleIdentity?, expectedEmail: String?, now: Timestamp
  ) throws(OAuthFailure) {
    guard let identity else { throw .invalidIDToken }
    let scopes = grant.scopes ?? GoogleScope.requested
    guard scopes.contains(GoogleScope.send) else { throw .scopeNotGranted }
    guard identity.isEmailVerified else { throw .emailNotVerified }
    if let expectedEmail, !isSameAddress(expectedEmail, identity.email) { throw .unexpectedAccount }
    guard let refreshToken = grant.refreshToken else { throw .noRefreshToken }
    self.identity = identity
    self.scopes = scopes
    accessToken = grant.accessToken
    accessTokenExpiry = now + grant.lifetime
    self.refreshToken = refreshToken
    refreshTokenExpiry = grant.refreshLifetime.map { now + $0 }
  }
}
