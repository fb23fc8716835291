import CivilTime
import Logging
import TLSSession

/// Connecting an account, from the link to Google's page to the stored grant. One a loop.
final class Authorizer {
  private let clientSource: GoogleClientSource
  private let endpoints: GoogleEndpoints
  private let google: any GoogleOAuth
  private let flows: any FlowStore
  private let accounts: any AccountStore
  private let vault: any GrantVault
  private let sealer: any ColumnSealer
  private let revoker: GrantRevoker
  private let logger: Logger
  private let now: () -> Timestamp

  /// Google's codes have about 256 bytes, our handles 43.
  static let codeLimit = 2048

  init(
    client: GoogleClientSource, endpoints: GoogleEndpoints, google: any GoogleOAuth, flows: any FlowStore,
    accounts: any AccountStore, vault: any GrantVault, sealer: any ColumnSealer, logger: Logger,
    now: @escaping () -> Timestamp = { .now() }
  ) {
    clientSource = client
    self.endpoints = endpoints
    self.google = google
    self.flows = flows
    self.accounts = accounts
    self.vault = vault
    self.sealer = sealer
    revoker = GrantRevoker(google: google, accounts: accounts, logger: logger)
    self.logger = logger
    self.now = now
  }

  /// - Parameter credentialID: whose key asked, for the audit.
  /// - Returns: Google's page, and until when its state is good.
  func start(
    _ request: AuthorizationRequest, for user: UserKey, credentialID: String?
  ) async throws -> (url: String, expiresAt: Timestamp) {
    guard let client = clientSource.current else { throw OAuthFailure.googleNotConfigured }
    guard try await flows.isRegistered(redirectURL: request.redirectURL, tenant: user.tenant) else {
      throw OAuthFailure.redirectNotAllowed
    }
    let state = FlowState.random()
    let flow = AuthorizationFlow(
      user: user, redirectURL: request.redirectURL, nonce: Base64.encode(SecureRandom.bytes(16), .urlSafe),
      verifier: .random(), expectedEmail: request.expectedEmail, credentialID: credentialID)
    let sealedVerifier = try sealer.seal(flow.verifier.secret, .verifier, user)
    let expiresAt = try await flows.save(
      flow, state: state, sealedVerifier: sealedVerifier, lifetime: AuthorizationFlow.lifetime)
    let url = request.authorizationURL(
      at: endpoints.authorization, client: client, state: state, nonce: flow.nonce, verifier: flow.verifier)
    return (url, expiresAt)
  }

  /// What Google brought to our own redirect URI: where the browser goes next.
  func sealCallback(_ result: CallbackResult) async throws -> String {
    guard let state = FlowState(result.state), let flow = try await flows.findOpen(state) else {
      throw OAuthFailure.invalidState
    }
    switch result.outcome {
    case .error(let error):
      // The flow stays: the page reports the error with the user's name, and that uses it up.
      let word = error == "access_denied" ? "consent_denied" : "google_error"
      return QueryEncoding.append([("error", word), ("state", state.text)], to: flow.redirectURL)
    case .code(let code):
      let handle = CodeHandle.random()
      let sealed = try sealer.seal(code, .authorizationCode, flow.user)
      let isAttached = try await flows.attach(
        sealedCode: sealed, handleHash: handle.hash, lifetime: CodeHandle.lifetime, to: state,
        tenant: flow.user.tenant)
      guard isAttached else { throw OAuthFailure.invalidState }
      return QueryEncoding.append([("code", handle.text), ("state", state.text)], to: flow.redirectURL)
    }
  }

  /// The end of a flow, told by the platform that knows who is logged in. Uses the state up whatever comes of it.
  func complete(_ result: CallbackResult, for user: UserKey, actor: String) async throws -> Completion {
    guard let state = FlowState(result.state), let flow = try await flows.consume(state, tenant: user.tenant),
      flow.user == user
    else { throw OAuthFailure.invalidState }
    do {
      return try await complete(flow, result, for: user, actor: actor)
    } catch let failure as OAuthFailure {
      throw failure.whileConnecting
    }
  }

  private func complete(
    _ flow: StoredFlow, _ result: CallbackResult, for user: UserKey, actor: String
  ) async throws -> Completion {
    guard case .code(let given) = result.outcome else { throw OAuthFailure.consentDenied }
    guard let client = clientSource.current else { throw OAuthFailure.googleNotConfigured }
    let code = try googleCode(given, of: flow, client)
    guard let verifier = sealer.open(flow.sealedVerifier, .verifier, user) else { throw OAuthFailure.invalidState }
    let grant = try await exchange(code, PKCEVerifier(secret: verifier))
    let identity = try await identity(grant, nonce: flow.nonce, client)
    let consent: VerifiedConsent
    do throws(OAuthFailure) {
      consent = try VerifiedConsent(grant, identity: identity, expectedEmail: flow.expectedEmail, now: now())
    } catch {
      // Before the answer: whoever is told to consent again does so after it. Of whose account it is nobody knows, nobody
      // knows either whether it is connected.
      if let identity {
        await revoker.revoke(grant.refreshToken ?? grant.accessToken, of: identity.subject, for: user, actor: actor)
      }
      throw error
    }
    let replaced = try await grantReplaced(by: consent.identity, of: user)
    try await store(consent, for: user, actor: actor)
    if let replaced, let subject = replaced.googleSub {
      await revoker.revoke(replaced.refreshToken, of: subject, for: user, actor: actor)
    }
    return Completion(email: consent.identity.email, redirectURL: flow.redirectURL, scopes: consent.scopes)
  }

  /// Google's code behind what the page brought. Where our own URL is the redirect URI, that is a handle and never the
  /// code itself.
  private func googleCode(_ given: SecretBytes, of flow: StoredFlow, _ client: GoogleClient) throws -> SecretBytes {
    guard let stored = flow.sealedCode else {
      guard !client.usesOwnCallback else { throw OAuthFailure.invalidState }
      return given
    }
    guard constantTimeEqual(CodeHandle.hash(given.revealedText), stored.handleHash), stored.isFresh,
      let code = sealer.open(stored.sealed, .authorizationCode, flow.user)
    else { throw OAuthFailure.invalidState }
    return code
  }

  private func exchange(_ code: SecretBytes, _ verifier: PKCEVerifier) async throws -> TokenGrant {
    switch try await google.exchange(code: code, verifier: verifier) {
    case .granted(let grant): return grant
    // A code that Google does not take was forged, used or is too old: as little worth as a wrong state.
    case .dead: throw OAuthFailure.invalidState
    case .misconfigured(let error):
      logger.error("Google refuses our client", metadata: ["error": "\(error)"])
      throw OAuthFailure.googleUnavailable
    case .unavailable: throw OAuthFailure.googleUnavailable
    }
  }

  private func identity(_ grant: TokenGrant, nonce: String, _ client: GoogleClient) async throws -> GoogleIdentity? {
    guard let token = grant.idToken.flatMap({ IDToken($0) }), let key = try await google.signingKey(token.keyID) else {
      return nil
    }
    return token.verified(
      by: key,
      against: IDToken.Expectation(endpoints: endpoints, clientID: client.id, nonce: nonce, now: now()))
  }

  /// The user's grant of another Google account, which the new one takes the place of; nil where there is none, or where it is
  /// not certain whose it is.
  private func grantReplaced(by identity: GoogleIdentity, of user: UserKey) async throws -> StoredGrant? {
    guard let account = try await accounts.find(user), account.googleSub != identity.subject,
      let grant = try await vault.get(user), grant.googleSub == account.googleSub
    else { return nil }
    return grant
  }

  /// First the secret, then the row that says "connected": a crash in between leaves an account whose secret names
  /// another Google account, which a refresh notices, or a newer token of the same, which is as good.
  private func store(_ consent: VerifiedConsent, for user: UserKey, actor: String) async throws {
    let grant = StoredGrant(refreshToken: consent.refreshToken, googleSub: consent.identity.subject)
    let name = try await vault.put(grant, for: user)
    let connection = NewConnection(
      identity: consent.identity, scopes: consent.scopes,
      sealedAccessToken: try sealer.seal(consent.accessToken, .accessToken, user),
      accessTokenExpiry: consent.accessTokenExpiry, refreshTokenExpiry: consent.refreshTokenExpiry, secretName: name,
      actor: actor)
    try await accounts.connect(user, connection)
  }
}

/// What came back from Google, as a browser or a page brings it.
struct CallbackResult: Sendable {
  enum Outcome: Sendable {
    case code(SecretBytes)
    case error(String)
  }

  let state: String
  let outcome: Outcome

  /// Empty texts stand for absent ones.
  init(state: String, code: String, error: String) throws(OAuthFailure) {
    guard !state.isEmpty, state.utf8.count <= 512 else { throw .invalidState }
    guard code.isEmpty != error.isEmpty else { throw .invalidField("code", "must be given, or error, and not both") }
    guard code.utf8.count <= Authorizer.codeLimit, error.utf8.count <= 256 else { throw .invalidState }
    self.state = state
    outcome = error.isEmpty ? .code(SecretBytes(code)) : .error(error)
  }
}

/// A connected account, as the platform is told of it.
struct Completion: Hashable, Sendable {
  let email: String
  let redirectURL: String
  let scopes: [String]
}
