import CivilTime
import TLSSession

/// Codes, access tokens and refresh tokens of the one client, and the accounts behind them.
struct GrantStore {
  /// What a code stands for until it is redeemed.
  struct Code {
    let account: Account
    let scopes: [OAuthScope]
    let request: AuthorizationRequest
    let isOffline: Bool
    let expires: Timestamp
  }

  struct RefreshToken: Equatable {
    let account: Account
    let scopes: [OAuthScope]
  }

  struct AccessToken {
    let account: Account
    let scopes: Set<OAuthScope>
    let expires: Timestamp
  }

  /// Google's lifetimes and bounds, so that the product meets the real ones.
  static let codeLifetime = Duration.seconds(600)
  static let accessTokenSeconds = 3_599
  static let maxRefreshTokensPerAccount = 100
  /// Live access tokens; above it expired ones are dropped.
  private static let sweepThreshold = 10_000

  private(set) var accounts: [Account] = []
  private var knownSubs: Set<String> = []
  private var codes: [String: Code] = [:]
  private var accessTokens: [String: AccessToken] = [:]
  private(set) var refreshTokens: [String: RefreshToken] = [:]
  /// Each account's refresh tokens, oldest first.
  private var refreshTokensBySub: [String: [String]] = [:]
  private var sweepAt = sweepThreshold

  mutating func add(_ account: Account) {
    if knownSubs.insert(account.sub).inserted { accounts.append(account) }
  }

  /// Account by account, each one's oldest first.
  var refreshTokensInOrder: [(token: String, value: RefreshToken)] {
    accounts.flatMap { account in
      (refreshTokensBySub[account.sub] ?? []).compactMap { token in refreshTokens[token].map { (token, $0) } }
    }
  }

  func hasGrant(_ account: Account) -> Bool { !(refreshTokensBySub[account.sub] ?? []).isEmpty }

  // MARK: Codes

  mutating func issueCode(
    for account: Account, scopes: [OAuthScope], request: AuthorizationRequest, now: Timestamp
  ) -> String {
    add(account)
    codes = codes.filter { $0.value.expires > now }
    let isOffline = request.wantsOffline && (request.prompts.contains("consent") || !hasGrant(account))
    let code = "4/0A\(Base64.encode(SecureRandom.bytes(48), .urlSafe))"
    codes[code] = Code(
      account: account, scopes: scopes, request: request, isOffline: isOffline, expires: now + Self.codeLifetime)
    return code
  }

  /// A code is gone at the first look, whatever comes of it.
  mutating func redeemCode(_ code: String, now: Timestamp) -> Code? {
    guard let found = codes.removeValue(forKey: code), found.expires > now else { return nil }
    return found
  }

  // MARK: Tokens

  mutating func issueAccessToken(for account: Account, scopes: [OAuthScope], now: Timestamp) -> String {
    if accessTokens.count >= sweepAt {
      accessTokens = accessTokens.filter { $0.value.expires > now }
      sweepAt = max(Self.sweepThreshold, accessTokens.count * 2)
    }
    let token = "ya29.a0\(Base64.encode(SecureRandom.bytes(72), .urlSafe))"
    accessTokens[token] = AccessToken(
      account: account, scopes: Set(scopes), expires: now + .seconds(Self.accessTokenSeconds))
    return token
  }

  func accessToken(_ token: String, now: Timestamp) -> AccessToken? {
    guard let found = accessTokens[token], found.expires > now else { return nil }
    return found
  }

  mutating func issueRefreshToken(for account: Account, scopes: [OAuthScope]) -> String {
    let token = "1//0e\(Base64.encode(SecureRandom.bytes(48), .urlSafe))"
    keepRefreshToken(token, RefreshToken(account: account, scopes: scopes))
    return token
  }

  /// Over the bound the oldest is dropped without a word.
  mutating func keepRefreshToken(_ token: String, _ value: RefreshToken) {
    add(value.account)
    refreshTokens[token] = value
    refreshTokensBySub[value.account.sub, default: []].append(token)
    while let tokens = refreshTokensBySub[value.account.sub], tokens.count > Self.maxRefreshTokensPerAccount {
      refreshTokens[tokens[0]] = nil
      refreshTokensBySub[value.account.sub]?.removeFirst()
    }
  }

  /// Kills every token of the account that `token` belongs to: revocation is per project and account. Nil for an unknown token.
  mutating func revoke(_ token: String, now: Timestamp) -> Account? {
    guard let account = refreshTokens[token]?.account ?? accessToken(token, now: now)?.account else { return nil }
    revokeAll(of: account)
    return account
  }

  mutating func revokeAll(of account: Account) {
    for token in refreshTokensBySub.removeValue(forKey: account.sub) ?? [] { refreshTokens[token] = nil }
    accessTokens = accessTokens.filter { $0.value.account.sub != account.sub }
    codes = codes.filter { $0.value.account.sub != account.sub }
  }

  /// Makes every access token of an account (or of all) invalid, as when it expires early.
  mutating func expireAccessTokens(of address: String?) {
    accessTokens = address.map { address in accessTokens.filter { $0.value.account.address != address } } ?? [:]
  }
}
