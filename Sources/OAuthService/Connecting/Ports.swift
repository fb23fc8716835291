import CivilTime
import TLSSession

/// What connecting needs of the world, as narrow as it needs it. Each live implementation stands in `Google/` or
/// `Storage/`; tests have their own. All of them live on one loop.

/// Google's OAuth server.
protocol GoogleOAuth: AnyObject {
  func exchange(code: SecretBytes, verifier: PKCEVerifier) async throws -> TokenAnswer
  func refresh(_ refreshToken: SecretBytes) async throws -> TokenAnswer
  /// - Returns: whether the grant is dead now, by this call or before.
  func revoke(_ token: SecretBytes) async throws -> Bool
  /// The key that signed an id_token; nil when Google does not have it or cannot be asked.
  func signingKey(_ id: String) async throws -> PublicKey?
}

/// Where users' refresh tokens are kept.
protocol GrantVault: AnyObject {
  /// - Returns: the name under which it is kept.
  func put(_ grant: StoredGrant, for user: UserKey) async throws(OAuthFailure) -> String
  func get(_ user: UserKey) async throws(OAuthFailure) -> StoredGrant?
  /// Succeeds when there is none.
  func delete(_ user: UserKey) async throws(OAuthFailure)
}

/// What the vault keeps of a user's consent.
struct StoredGrant: Hashable, Sendable {
  let refreshToken: SecretBytes
  /// Whose it is. Written beside the token so that a secret never serves an account row that it does not belong to;
  /// nil in secrets written by others.
  let googleSub: String?

  static func == (a: StoredGrant, b: StoredGrant) -> Bool {
    a.refreshToken == b.refreshToken && a.googleSub == b.googleSub
  }

  func hash(into hasher: inout Hasher) { hasher.combine(googleSub) }
}

/// Seals short secrets for a column of the database, bound to their user and purpose.
protocol ColumnSealer: AnyObject {
  func seal(_ secret: SecretBytes, _ purpose: SealPurpose, _ user: UserKey) throws(OAuthFailure) -> [UInt8]
  /// Nil when it does not open: another user's, another purpose's, or under a key that we no longer have.
  func open(_ sealed: [UInt8], _ purpose: SealPurpose, _ user: UserKey) -> SecretBytes?
}

enum SealPurpose: String, Sendable {
  case accessToken = "access_token"
  case verifier = "pkce_verifier"
  case authorizationCode = "authorization_code"
}

/// Attempts to connect. When one is over is for the store to say: the processes that begin and end it may have clocks far apart.
protocol FlowStore: AnyObject {
  func isRegistered(redirectURL: String, tenant: String) async throws -> Bool
  /// - Returns: until when it can be completed.
  func save(_ flow: AuthorizationFlow, state: FlowState, sealedVerifier: [UInt8], lifetime: Duration) async throws
    -> Timestamp
  /// The user and redirect URL of a flow that is alive and has no code yet.
  func findOpen(_ state: FlowState) async throws -> (user: UserKey, redirectURL: String)?
  /// - Returns: false when the flow is gone, over, or has a code already.
  func attach(sealedCode: [UInt8], handleHash: [UInt8], lifetime: Duration, to state: FlowState, tenant: String)
    async throws -> Bool
  /// Takes the flow out, whoever's it is within the tenant: it can be used once. Nil: there is none, or it was over.
  func consume(_ state: FlowState, tenant: String) async throws -> StoredFlow?
}

/// A flow as it was stored.
struct StoredFlow: Sendable {
  let user: UserKey
  let redirectURL: String
  let nonce: String
  let sealedVerifier: [UInt8]
  let expectedEmail: String?
  /// Google's code, when it came by our own callback.
  let sealedCode: (sealed: [UInt8], handleHash: [UInt8], isFresh: Bool)?
}

/// Connected accounts. Every change is one transaction with its audit event and its notice to the watchers.
protocol AccountStore: AnyObject {
  func find(_ user: UserKey) async throws -> Account?
  func connect(_ user: UserKey, _ connection: NewConnection) async throws
  /// - Returns: whether we may refresh: nobody else does, and the row is still the one that was read.
  func takeRefreshLease(_ user: UserKey, of account: Account, owner: String, lease: Duration) async throws -> Bool
  func releaseRefreshLease(_ user: UserKey, owner: String) async throws
  /// - Returns: false when the lease or the grant is not ours any more, and nothing was written.
  func saveRefreshed(_ user: UserKey, of account: Account, owner: String, _ token: RefreshedToken) async throws -> Bool
  /// - Returns: false when the row is no longer the one that was read, and nothing was written.
  func requireReauth(_ user: UserKey, of account: Account, reason: String) async throws -> Bool
  /// Nil when there is nothing to disconnect and nothing left to clean up.
  func disconnect(_ user: UserKey, actor: String) async throws -> Disconnection?
  /// Whether any user, of any tenant, is connected to this Google account.
  func isLinked(googleSub: String) async throws -> Bool
  /// A grant that no row names was revoked, or could not be.
  func noteRevocation(_ user: UserKey, succeeded: Bool, actor: String) async throws
  /// The vault's secret is gone.
  func secretRemoved(_ user: UserKey, revoked: Bool?, actor: String) async throws
}

struct NewConnection: Sendable {
  let identity: GoogleIdentity
  let scopes: [String]
  let sealedAccessToken: [UInt8]
  let accessTokenExpiry: Timestamp
  let refreshTokenExpiry: Timestamp?
  let secretName: String
  let actor: String
}

struct RefreshedToken: Sendable {
  let sealed: [UInt8]
  let expiry: Timestamp
  /// Nil: as before.
  let scopes: [String]?
}

struct Disconnection: Hashable, Sendable {
  /// No other user is connected to the same Google account, so revoking hurts nobody.
  let wasLastLink: Bool
}
