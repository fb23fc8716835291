import CivilTime
import EventLoop
import Logging
import StrictJSON
import TLSSession
import URLSyntax

@testable import OAuthService

/// Stands still until it is moved. Held by all that ask it: a refresh may go on when its test has ended.
final class FakeClock {
  var now = Timestamp(seconds: 1_800_000_000)
}

/// The world in memory: Google, the vault and the tables. The stores follow the same rules as the SQL.
final class World {
  var now: Timestamp {
    get { clock.now }
    set { clock.now = newValue }
  }
  private let clock = FakeClock()
  let google: FakeGoogle
  let flows: FakeFlows
  let accounts: FakeAccounts
  let vault = FakeVault()
  let sealer = KeyringSealer(Keyring(generating: "k1"))
  let client: GoogleClient
  let endpoints = GoogleEndpoints(
    authorization: HTTPURL("http://127.0.0.1:8090/o/oauth2/v2/auth")!,
    token: HTTPURL("http://127.0.0.1:8090/token")!,
    revocation: HTTPURL("http://127.0.0.1:8090/revoke")!, keys: HTTPURL("http://127.0.0.1:8090/certs")!,
    issuer: "https://accounts.google.com")
  let user = UserKey(tenant: "default", user: "u/1 ü")

  init(redirectURI: String = "https://crm.example.com/connected") throws {
    client = GoogleClient(
      id: "client-1.apps.googleusercontent.com", secret: SecretBytes("client-secret"),
      redirectURI: HTTPURL(redirectURI)!)
    google = try FakeGoogle(clock: clock, audience: client.id)
    flows = FakeFlows(clock: clock)
    accounts = FakeAccounts(clock: clock)
  }

  func authorizer(client: GoogleClient? = nil) -> Authorizer {
    Authorizer(
      client: GoogleClientSource(client ?? self.client), endpoints: endpoints, google: google, flows: flows,
      accounts: accounts,
      vault: vault, sealer: sealer, logger: .silent, now: { [clock] in clock.now })
  }

  func keeper(_ reactor: Reactor) -> TokenKeeper {
    TokenKeeper(
      reactor: reactor, google: google, accounts: accounts, vault: vault, sealer: sealer, logger: .silent,
      now: { [clock] in clock.now })
  }

  func disconnector() -> Disconnector {
    Disconnector(google: google, accounts: accounts, vault: vault, logger: .silent)
  }

  /// An account as after a consent.
  func connect(_ user: UserKey? = nil, sub: String = "sub-1", refreshToken: String = "refresh-1") async throws {
    let user = user ?? self.user
    let name = try await vault.put(
      StoredGrant(refreshToken: SecretBytes(refreshToken), googleSub: sub), for: user)
    try await accounts.connect(
      user,
      NewConnection(
        identity: GoogleIdentity(subject: sub, email: "ann@example.com", isEmailVerified: true),
        scopes: GoogleScope.requested, sealedAccessToken: try sealer.seal(SecretBytes("access-1"), .accessToken, user),
        accessTokenExpiry: now + .seconds(3600), refreshTokenExpiry: nil, secretName: name, actor: "test"))
  }
}

extension Logger {
  static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

final class FakeGoogle: GoogleOAuth {
  private let clock: FakeClock
  private let audience: String
  /// Made once: a key of 2048 bits takes a while.
  private static let sharedKey = Result { try PrivateKey.generateRSA() }
  let key: PrivateKey
  var answers: [TokenAnswer] = []
  var exchanged: [(code: String, verifier: String)] = []
  var refreshed: [String] = []
  var revoked: [String] = []
  var revocationWorks = true
  /// Run while a refresh, or a revocation, is under way.
  var duringRequest: () async throws -> Void = {}
  var duringRevocation: () async throws -> Void = {}

  init(clock: FakeClock, audience: String) throws {
    self.clock = clock
    self.audience = audience
    key = try Self.sharedKey.get()
  }

  func exchange(code: SecretBytes, verifier: PKCEVerifier) async throws -> TokenAnswer {
    exchanged.append((code.revealedText, verifier.secret.revealedText))
    return answers.isEmpty ? .unavailable : answers.removeFirst()
  }

  func refresh(_ refreshToken: SecretBytes) async throws -> TokenAnswer {
    refreshed.append(refreshToken.revealedText)
    try await duringRequest()
    return answers.isEmpty ? .unavailable : answers.removeFirst()
  }

  func revoke(_ token: SecretBytes) async throws -> Bool {
    revoked.append(token.revealedText)
    try await duringRevocation()
    return revocationWorks
  }

  func signingKey(_ id: String) async throws -> PublicKey? { id == "key-1" ? try key.publicKey : nil }

  func idToken(
    _ claims: [String: JSONValue?] = [:], header: JSONValue = ["alg": "RS256", "kid": "key-1"], nonce: String
  ) throws -> String {
    let seconds = clock.now.seconds
    var object: [String: JSONValue] = [
      "iss": "https://accounts.google.com", "aud": .string(audience), "sub": "sub-1",
      "email": "ann@example.com", "email_verified": true, "iat": .number(JSONNumber(seconds)),
      "exp": .number(JSONNumber(seconds + 3600)), "nonce": .string(nonce),
    ]
    for (name, value) in claims { object[name] = value }
    var members = JSONObject()
    for (name, value) in object { members[name] = value }
    let signed =
      Base64.encode(header.encoded(), .urlSafe) + "."
      + Base64.encode(JSONValue.object(members).encoded(), .urlSafe)
    return signed + "." + Base64.encode(try key.signRS256(Array(signed.utf8)), .urlSafe)
  }
}

func grant(
  access: String = "access-2", refresh: String? = nil, scopes: [String]? = GoogleScope.requested, idToken: String? = nil
) -> TokenAnswer {
  .granted(
    TokenGrant(
      accessToken: SecretBytes(access), lifetime: .seconds(3600), refreshToken: refresh.map { SecretBytes($0) },
      refreshLifetime: nil, scopes: scopes, idToken: idToken))
}

final class FakeVault: GrantVault {
  var grants: [UserKey: StoredGrant] = [:]
  var isAway = false
  /// How often a secret was written.
  var writes = 0

  func put(_ grant: StoredGrant, for user: UserKey) async throws(OAuthFailure) -> String {
    if isAway { throw .vaultUnavailable }
    writes += 1
    grants[user] = grant
    return "secret-of-\(user.user)"
  }

  func get(_ user: UserKey) async throws(OAuthFailure) -> StoredGrant? {
    if isAway { throw .vaultUnavailable }
    return grants[user]
  }

  func delete(_ user: UserKey) async throws(OAuthFailure) {
    if isAway { throw .vaultUnavailable }
    grants[user] = nil
  }
}

final class FakeFlows: FlowStore {
  private let clock: FakeClock
  var redirects: [String: Set<String>] = ["default": ["https://crm.example.com/done?x=1"]]
  var rows: [[UInt8]: (tenant: String, flow: StoredFlow, until: Timestamp)] = [:]
  private var codesUntil: [[UInt8]: Timestamp] = [:]
  /// Whose keys began them.
  var credentials: [String?] = []
  /// Run before a code is attached.
  var beforeAttach: () async throws -> Void = {}

  init(clock: FakeClock) { self.clock = clock }

  func isRegistered(redirectURL: String, tenant: String) async throws -> Bool {
    redirects[tenant]?.contains { $0.utf8.elementsEqual(redirectURL.utf8) } ?? false
  }

  func save(
    _ flow: AuthorizationFlow, state: FlowState, sealedVerifier: [UInt8], lifetime: Duration
  ) async throws -> Timestamp {
    let stored = StoredFlow(
      user: flow.user, redirectURL: flow.redirectURL, nonce: flow.nonce, sealedVerifier: sealedVerifier,
      expectedEmail: flow.expectedEmail, sealedCode: nil)
    let until = clock.now + lifetime
    rows[state.hash] = (flow.user.tenant, stored, until)
    credentials.append(flow.credentialID)
    return until
  }

  func findOpen(_ state: FlowState) async throws -> (user: UserKey, redirectURL: String)? {
    guard let row = rows[state.hash], clock.now < row.until, row.flow.sealedCode == nil else { return nil }
    return (row.flow.user, row.flow.redirectURL)
  }

  func attach(
    sealedCode: [UInt8], handleHash: [UInt8], lifetime: Duration, to state: FlowState, tenant: String
  ) async throws -> Bool {
    try await beforeAttach()
    guard let row = rows[state.hash], row.tenant == tenant, row.flow.sealedCode == nil else { return false }
    codesUntil[state.hash] = min(clock.now + lifetime, row.until)
    rows[state.hash]?.flow = row.flow.with((sealedCode, handleHash, true))
    return true
  }

  func consume(_ state: FlowState, tenant: String) async throws -> StoredFlow? {
    guard let row = rows[state.hash], row.tenant == tenant else { return nil }
    rows[state.hash] = nil
    guard clock.now < row.until else { return nil }
    guard let code = row.flow.sealedCode, let until = codesUntil[state.hash] else { return row.flow }
    return row.flow.with((code.sealed, code.handleHash, clock.now < until))
  }
}

extension StoredFlow {
  fileprivate func with(_ code: (sealed: [UInt8], handleHash: [UInt8], isFresh: Bool)) -> StoredFlow {
    StoredFlow(
      user: user, redirectURL: redirectURL, nonce: nonce, sealedVerifier: sealedVerifier, expectedEmail: expectedEmail,
      sealedCode: code)
  }
}

final class FakeAccounts: AccountStore {
  private let clock: FakeClock
  var rows: [UserKey: Account] = [:]
  var leaseOwners: [UserKey: String] = [:]
  var audit: [String] = []
  /// Who did it, for each of `audit` that a caller is behind.
  var actors: [String] = []
  /// How often a row was looked at.
  var looks = 0

  init(clock: FakeClock) { self.clock = clock }

  func find(_ user: UserKey) async throws -> Account? {
    looks += 1
    return rows[user]
  }

  func connect(_ user: UserKey, _ connection: NewConnection) async throws {
    let old = rows[user]
    rows[user] = Account(
      email: connection.identity.email, googleSub: connection.identity.subject, status: .active, reauthReason: nil,
      scopes: connection.scopes, grantVersion: (old?.grantVersion ?? 0) + 1, tokenVersion: (old?.tokenVersion ?? 0) + 1,
      sealedAccessToken: connection.sealedAccessToken, accessTokenExpiry: connection.accessTokenExpiry,
      refreshLease: nil, connectedAt: clock.now, lastUsedAt: nil, secretName: connection.secretName)
    audit.append("connected")
    actors.append(connection.actor)
  }

  func takeRefreshLease(
    _ user: UserKey, of account: Account, owner: String, lease: Duration
  ) async throws -> Bool {
    guard let row = rows[user], isSame(row, account), row.refreshLease.map({ $0 <= clock.now }) ?? true else {
      return false
    }
    rows[user]?.refreshLease = clock.now + lease
    leaseOwners[user] = owner
    return true
  }

  func releaseRefreshLease(_ user: UserKey, owner: String) async throws {
    guard leaseOwners[user] == owner else { return }
    rows[user]?.refreshLease = nil
  }

  func saveRefreshed(_ user: UserKey, of account: Account, owner: String, _ token: RefreshedToken) async throws -> Bool
  {
    guard let row = rows[user], isSame(row, account), leaseOwners[user] == owner else { return false }
    rows[user]?.sealedAccessToken = token.sealed
    rows[user]?.accessTokenExpiry = token.expiry
    rows[user]?.tokenVersion += 1
    rows[user]?.refreshLease = nil
    return true
  }

  func requireReauth(_ user: UserKey, of account: Account, reason: String) async throws -> Bool {
    guard let row = rows[user], isSame(row, account) else { return false }
    rows[user]?.status = .reauthRequired
    rows[user]?.reauthReason = reason
    rows[user]?.sealedAccessToken = nil
    audit.append("reauth_required")
    return true
  }

  func disconnect(_ user: UserKey, actor: String) async throws -> Disconnection? {
    guard let row = rows[user], row.status != .disconnected || row.secretName != nil else { return nil }
    if row.status != .disconnected { rows[user]?.grantVersion += 1 }
    rows[user]?.status = .disconnected
    rows[user]?.sealedAccessToken = nil
    audit.append("disconnected")
    actors.append(actor)
    let links = rows.values.count { $0.googleSub == row.googleSub && $0.status == .active }
    return Disconnection(wasLastLink: links == 0)
  }

  func isLinked(googleSub: String) async throws -> Bool {
    rows.values.contains { $0.googleSub == googleSub && $0.status == .active }
  }

  func noteRevocation(_ user: UserKey, succeeded: Bool, actor: String) async throws {
    audit.append(succeeded ? "revoked" : "revocation_failed")
    actors.append(actor)
  }

  func secretRemoved(_ user: UserKey, revoked: Bool?, actor: String) async throws {
    rows[user]?.secretName = nil
    guard let revoked else { return }
    audit.append(revoked ? "revoked" : "revocation_failed")
    actors.append(actor)
  }

  private func isSame(_ row: Account, _ account: Account) -> Bool {
    row.status == .active && row.grantVersion == account.grantVersion && row.tokenVersion == account.tokenVersion
  }
}
