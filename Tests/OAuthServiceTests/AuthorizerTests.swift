import CivilTime
import StrictJSON
import TLSSession
import Testing

@testable import OAuthService

@Suite("Connecting")
struct AuthorizerTests {
  let world: World
  let redirect = "https://crm.example.com/done?x=1"

  init() throws { world = try World() }

  private func start(
    _ world: World, expectedEmail: String? = nil
  ) async throws -> (state: String, query: [String: String]) {
    let request = try AuthorizationRequest(redirectURL: redirect, loginHint: nil, expectedEmail: expectedEmail)
    let url = try await world.authorizer().start(request, for: world.user, credentialID: nil).url
    let query = queryItems(url)
    return (try #require(query["state"]), query)
  }

  private func complete(
    _ world: World, _ state: String, code: String = "google-code", error: String = "", user: UserKey? = nil
  ) async throws -> Completion {
    try await world.authorizer().complete(
      CallbackResult(state: state, code: code, error: error), for: user ?? world.user, actor: "key-1")
  }

  /// What Google answers to the exchange of the next code.
  private func answer(_ world: World, _ query: [String: String], claims: [String: JSONValue?] = [:]) throws {
    let token = try world.google.idToken(claims, nonce: query["nonce"] ?? "")
    world.google.answers = [grant(access: "access-1", refresh: "refresh-1", idToken: token)]
  }

  @Test("Google's page is asked for offline access with PKCE, and the state says nothing about the user")
  func authorizationURL() async throws {
    let request = try AuthorizationRequest(
      redirectURL: redirect, loginHint: "ann+x@example.com", expectedEmail: nil)
    let (url, expiresAt) = try await world.authorizer().start(request, for: world.user, credentialID: "key-1")
    let query = queryItems(url)
    #expect(url.hasPrefix("http://127.0.0.1:8090/o/oauth2/v2/auth?"))
    #expect(query["client_id"] == world.client.id)
    #expect(query["redirect_uri"] == "https://crm.example.com/connected")
    #expect(query["response_type"] == "code")
    #expect(query["scope"] == "openid email https://www.googleapis.com/auth/gmail.send")
    #expect(query["access_type"] == "offline")
    #expect(query["prompt"] == "consent")
    #expect(query["code_challenge_method"] == "S256")
    #expect(query["code_challenge"]?.count == 43)
    #expect(query["login_hint"] == "ann+x@example.com")
    #expect(query["state"]?.count == 43)
    #expect(expiresAt == world.now + .seconds(600))
    #expect(try await start(world).state != query["state"])
  }

  @Test(
    "Only a registered redirect URL is taken, byte for byte",
    arguments: [
      "https://crm.example.com/done", "https://crm.example.com/done?x=1#", "https://CRM.example.com/done?x=1",
      "https://crm.example.com/done?x=1&y", "https://crm.example.com:443/done?x=1",
    ])
  func redirectURL(url: String) async throws {
    let request = try AuthorizationRequest(redirectURL: url, loginHint: nil, expectedEmail: nil)
    await #expect(throws: OAuthFailure.redirectNotAllowed) {
      try await world.authorizer().start(request, for: world.user, credentialID: nil)
    }
  }

  @Test("A consent is stored: the address, the sealed access token, the refresh token in the vault")
  func completes() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    let completion = try await complete(world, state)
    #expect(completion == Completion(email: "ann@example.com", redirectURL: redirect, scopes: GoogleScope.requested))
    let account = try #require(world.accounts.rows[world.user])
    #expect(account.status == .active)
    #expect(account.googleSub == "sub-1")
    #expect(world.vault.grants[world.user]?.refreshToken == SecretBytes("refresh-1"))
    let sealed = try #require(account.sealedAccessToken)
    #expect(world.sealer.open(sealed, .accessToken, world.user) == SecretBytes("access-1"))
    #expect(account.accessTokenExpiry == world.now + .seconds(3600))
    let exchanged = try #require(world.google.exchanged.first)
    #expect(exchanged.code == "google-code")
    #expect(Base64.encode(SHA256.hash(exchanged.verifier.utf8), .urlSafe) == query["code_challenge"])
  }

  /// What Google had granted stayed there although we kept nothing of it.
  @Test(
    "A consent that is refused is revoked, but for one to an account that somebody is connected to, or nobody knows whose",
    arguments: ["scope", "other", "unverified", "no refresh token", "linked", "forged"])
  func refusedConsent(why: String) async throws {
    let linked = UserKey(tenant: "other", user: "ann")
    if why == "linked" { try await world.connect(linked, sub: "sub-2", refreshToken: "theirs") }
    let (state, query) = try await start(world, expectedEmail: why == "other" ? "bob@example.com" : nil)
    let token = try world.google.idToken(
      ["sub": "sub-2", "email_verified": why == "unverified" ? false : true],
      nonce: why == "forged" ? "other" : query["nonce"] ?? "")
    let scopes = ["scope", "linked"].contains(why) ? ["openid", "email"] : GoogleScope.requested
    world.google.answers = [
      grant(access: "a", refresh: why == "no refresh token" ? nil : "r", scopes: scopes, idToken: token)
    ]
    await #expect(throws: OAuthFailure.self) { try await complete(world, state) }
    let revoked = ["linked", "forged"].contains(why) ? [] : [why == "no refresh token" ? "a" : "r"]
    #expect(world.google.revoked == revoked)
    #expect(world.accounts.audit.filter { $0 == "revoked" }.count == world.google.revoked.count)
    #expect(world.accounts.rows[world.user] == nil && world.vault.grants[world.user] == nil)
  }

  @Test("A refusal is told as it is, though Google cannot be asked to revoke")
  func refusedAway() async throws {
    world.google.revocationWorks = false
    let (state, query) = try await start(world)
    let token = try world.google.idToken(nonce: query["nonce"] ?? "")
    world.google.answers = [grant(refresh: "r", scopes: ["openid"], idToken: token)]
    await #expect(throws: OAuthFailure.scopeNotGranted) { try await complete(world, state) }
    #expect(world.accounts.audit == ["revocation_failed"] && world.accounts.actors == ["key-1"])
  }

  /// The old account's grant stayed at Google for good, and its token was gone.
  @Test(
    "The grant of an account that another one takes the place of is revoked, but for one that somebody is connected to",
    arguments: ["alone", "shared", "shared and left", "same", "unknown", "vault mixed up"])
  func replaced(how: String) async throws {
    try await world.connect(sub: how == "same" ? "sub-1" : "sub-old", refreshToken: "old")
    let other = UserKey(tenant: "other", user: "ann")
    if how.hasPrefix("shared") { try await world.connect(other, sub: "sub-old", refreshToken: "theirs") }
    if how == "shared and left" { world.accounts.rows[other]?.status = .disconnected }
    if ["unknown", "vault mixed up"].contains(how) {
      world.vault.grants[world.user] = StoredGrant(
        refreshToken: SecretBytes("old"), googleSub: how == "unknown" ? nil : "sub-3")
    }
    let (state, query) = try await start(world)
    try answer(world, query)
    _ = try await complete(world, state)
    #expect(world.google.revoked == (["alone", "shared and left"].contains(how) ? ["old"] : []))
    #expect(world.accounts.rows[world.user]?.googleSub == "sub-1")
    #expect(world.vault.grants[world.user]?.refreshToken == SecretBytes("refresh-1"))
  }

  @Test("A state is good once")
  func replay() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    _ = try await complete(world, state)
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
    #expect(world.google.exchanged.count == 1)
  }

  @Test("Another user cannot complete the flow, and the state is gone afterwards")
  func otherUser() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    await #expect(throws: OAuthFailure.invalidState) {
      try await complete(world, state, user: UserKey(tenant: "default", user: "mallory"))
    }
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
    #expect(world.google.exchanged.isEmpty, "Google's code is exchanged only for the right user")
  }

  @Test("A user who differs in Unicode normalisation only is another user")
  func normalisation() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    await #expect(throws: OAuthFailure.invalidState) {
      try await complete(world, state, user: UserKey(tenant: "default", user: "u/1 u\u{308}"))
    }
  }

  @Test("Another tenant cannot complete the flow, nor use it up")
  func otherTenant() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    await #expect(throws: OAuthFailure.invalidState) {
      try await complete(world, state, user: UserKey(tenant: "other", user: world.user.user))
    }
    _ = try await complete(world, state)
  }

  @Test("A flow ends after ten minutes")
  func expiry() async throws {
    let (state, query) = try await start(world)
    try answer(world, query)
    world.now = world.now + .seconds(600)
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
  }

  @Test("A denied consent is said so and uses the state up")
  func denied() async throws {
    let (state, _) = try await start(world)
    await #expect(throws: OAuthFailure.consentDenied) {
      try await complete(world, state, code: "", error: "consent_denied")
    }
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
  }

  @Test("States that none of ours can be", arguments: ["x", String(repeating: "A", count: 44), "a b"])
  func foreignStates(state: String) async throws {
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
  }

  @Test("A code of Google's that Google does not take is as bad as a wrong state")
  func badCode() async throws {
    let (state, _) = try await start(world)
    world.google.answers = [.dead(reason: "invalid_grant")]
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state) }
    let (second, _) = try await start(world)
    world.google.answers = [.misconfigured(error: "invalid_client")]
    await #expect(throws: OAuthFailure.googleUnavailable.whileConnecting) { try await complete(world, second) }
    #expect(world.accounts.rows.isEmpty)
  }

  @Test(
    "An id_token that does not hold is refused, and nothing is stored",
    arguments: [
      ("iss", JSONValue.string("https://evil.example")), ("aud", "other-client"), ("nonce", "other"), ("exp", 1),
      ("iat", 4_000_000_000), ("sub", ""), ("email", "no-address"), ("azp", "other-client"), ("exp", "soon"),
      ("aud", ["client-1.apps.googleusercontent.com", "other"]),
    ] as [(String, JSONValue)])
  func badClaims(name: String, value: JSONValue) async throws {
    let (state, query) = try await start(world)
    try answer(world, query, claims: [name: value])
    await #expect(throws: OAuthFailure.invalidIDToken) { try await complete(world, state) }
    #expect(world.accounts.rows.isEmpty)
    #expect(world.vault.grants.isEmpty)
  }

  @Test(
    "An id_token that another key signed, or no key, is refused",
    arguments: [
      ["alg": "none", "kid": "key-1"], ["alg": "HS256", "kid": "key-1"], ["alg": "RS256", "kid": "key-2"],
      ["alg": "RS256"], ["alg": "RS256", "kid": "key-1", "crit": ["x"]],
    ] as [JSONValue])
  func badHeaders(header: JSONValue) async throws {
    let (state, query) = try await start(world)
    let token = try world.google.idToken(header: header, nonce: query["nonce"] ?? "")
    world.google.answers = [grant(refresh: "refresh-1", idToken: token)]
    await #expect(throws: OAuthFailure.invalidIDToken) { try await complete(world, state) }
  }

  @Test(
    "Google's clock may be off ours by a minute",
    arguments: [("exp", -59, true), ("exp", -60, false), ("iat", 60, true), ("iat", 61, false)])
  func leeway(claim: String, offset: Int64, isGood: Bool) async throws {
    let (state, query) = try await start(world)
    try answer(world, query, claims: [claim: .number(JSONNumber(world.now.seconds + offset))])
    if isGood {
      _ = try await complete(world, state)
    } else {
      await #expect(throws: OAuthFailure.invalidIDToken) { try await complete(world, state) }
    }
  }

  @Test("Without the permission to send nothing is stored")
  func untickedScope() async throws {
    let (state, query) = try await start(world)
    let token = try world.google.idToken(nonce: query["nonce"] ?? "")
    // Google answers `email` under its long name.
    let scopes = ["openid", "https://www.googleapis.com/auth/userinfo.email"]
    world.google.answers = [grant(refresh: "r", scopes: scopes, idToken: token)]
    await #expect(throws: OAuthFailure.scopeNotGranted) { try await complete(world, state) }
    #expect(world.accounts.rows.isEmpty && world.vault.grants.isEmpty)
  }

  @Test("Another account than the expected one is refused; case does not matter")
  func expectedEmail() async throws {
    let (first, query) = try await start(world, expectedEmail: "bob@example.com")
    try answer(world, query)
    await #expect(throws: OAuthFailure.unexpectedAccount) { try await complete(world, first) }
    let (second, next) = try await start(world, expectedEmail: "ANN@Example.com")
    try answer(world, next)
    #expect(try await complete(world, second).email == "ann@example.com")
  }

  @Test("An unverified address and a missing refresh token are refused")
  func incomplete() async throws {
    let (first, query) = try await start(world)
    try answer(world, query, claims: ["email_verified": false])
    await #expect(throws: OAuthFailure.emailNotVerified) { try await complete(world, first) }
    let (second, next) = try await start(world)
    world.google.answers = [grant(idToken: try world.google.idToken(nonce: next["nonce"] ?? ""))]
    await #expect(throws: OAuthFailure.noRefreshToken) { try await complete(world, second) }
    #expect(world.accounts.rows.isEmpty && world.vault.grants.isEmpty)
  }

  // MARK: Our own URL as the redirect URI

  private func ownCallback() throws -> World { try World(redirectURI: "https://mail.example.com/v1/oauth/callback") }

  private func seal(_ world: World, _ state: String, code: String = "google-code", error: String = "") async throws
    -> [String: String]
  {
    let location = try await world.authorizer().sealCallback(CallbackResult(state: state, code: code, error: error))
    #expect(location.hasPrefix(redirect + "&"))
    return queryItems(location)
  }

  @Test("The page gets a one-time handle instead of Google's code")
  func handle() async throws {
    let world = try ownCallback()
    let (state, query) = try await start(world)
    let sealed = try await seal(world, state)
    let handle = try #require(sealed["code"])
    #expect(sealed["state"] == state)
    #expect(handle != "google-code")
    try answer(world, query)
    #expect(try await complete(world, state, code: handle).email == "ann@example.com")
    #expect(world.google.exchanged.first?.code == "google-code")
  }

  @Test("Google's raw code from a page is a forgery there, and so is a wrong handle")
  func rawCode() async throws {
    let world = try ownCallback()
    for sealsFirst in [false, true] {
      let (state, query) = try await start(world)
      if sealsFirst { _ = try await seal(world, state) }
      try answer(world, query)
      await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state, code: "google-code") }
    }
    #expect(world.google.exchanged.isEmpty)
  }

  @Test("A handle is good for two minutes")
  func handleExpiry() async throws {
    let world = try ownCallback()
    let (state, query) = try await start(world)
    let handle = try await seal(world, state)["code"] ?? ""
    try answer(world, query)
    world.now = world.now + .seconds(120)
    await #expect(throws: OAuthFailure.invalidState) { try await complete(world, state, code: handle) }
  }

  @Test("Google's return is taken once; an unknown state goes nowhere")
  func sealsOnce() async throws {
    let world = try ownCallback()
    let (state, _) = try await start(world)
    _ = try await seal(world, state)
    await #expect(throws: OAuthFailure.invalidState) { try await seal(world, state, code: "attackers-code") }
    await #expect(throws: OAuthFailure.invalidState) { try await seal(world, FlowState.random().text) }
  }

  @Test("Of two returns at the same time one is taken, and the other one's page gets no handle")
  func sealsOneOfTwo() async throws {
    let world = try ownCallback()
    let (state, _) = try await start(world)
    world.flows.beforeAttach = {
      world.flows.beforeAttach = {}
      _ = try await seal(world, state)
    }
    await #expect(throws: OAuthFailure.invalidState) { try await seal(world, state, code: "late-code") }
  }

  @Test(
    "Google's errors reach the page as two words",
    arguments: [("access_denied", "consent_denied"), ("x<y", "google_error")])
  func errors(google: String, word: String) async throws {
    let world = try ownCallback()
    let (state, _) = try await start(world)
    #expect(try await seal(world, state, code: "", error: google) == ["x": "1", "error": word, "state": state])
    await #expect(throws: OAuthFailure.consentDenied) { try await complete(world, state, code: "", error: word) }
  }
}

/// The query of a URL, percent-decoded.
func queryItems(_ url: String) -> [String: String] {
  var items: [String: String] = [:]
  for pair in url.split(separator: "?", maxSplits: 1).last?.split(separator: "&") ?? [] {
    let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    items[decodePercent(parts[0])] = parts.count > 1 ? decodePercent(parts[1]) : ""
  }
  return items
}

private func decodePercent(_ text: Substring) -> String {
  var bytes: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    if byte == UInt8(ascii: "%"), let hex = Hex.decode(String(decoding: rest.prefix(2), as: UTF8.self)) {
      bytes += hex
      rest = rest.dropFirst(2)
    } else {
      bytes.append(byte)
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}
