import CivilTime
import StrictJSON
import TLSSession
import Testing

@testable import OAuthService

@Suite("Values")
struct DomainTests {
  @Test(
    "A query is added where one belongs",
    arguments: [
      ("https://a/b", "https://a/b?k=v%20%26"), ("https://a/b?x=1", "https://a/b?x=1&k=v%20%26"),
      ("https://a/b?", "https://a/b?k=v%20%26"), ("https://a/b#f?g", "https://a/b?k=v%20%26#f?g"),
    ])
  func query(url: String, expected: String) {
    #expect(QueryEncoding.append([("k", "v &")], to: url) == expected)
  }

  @Test(
    "What an answer of the token endpoint means",
    arguments: [
      (
        400, #"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
        "dead invalid_grant"
      ),
      (400, #"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#, "dead invalid_rapt"),
      (400, #"{"error":"admin_policy_enforced"}"#, "dead admin_policy_enforced"),
      (401, #"{"error":"invalid_client"}"#, "misconfigured invalid_client"),
      (400, #"{"error":"redirect_uri_mismatch"}"#, "misconfigured redirect_uri_mismatch"),
      (400, #"{"error":"brand_new_error"}"#, "unavailable"), (400, "not json", "unavailable"),
      (400, #"{"error":{"code":400}}"#, "unavailable"), (429, #"{"error":"invalid_grant"}"#, "unavailable"),
      (503, #"{"error":"invalid_grant"}"#, "unavailable"), (302, "", "unavailable"), (200, "{}", "unavailable"),
      (200, #"{"access_token":"a","token_type":"mac"}"#, "unavailable"),
      (200, #"{"access_token":"a\nb","token_type":"Bearer"}"#, "unavailable"),
      (200, #"{"access_token":"a","token_type":"Bearer","expires_in":0}"#, "unavailable"),
      (
        200, #"{"access_token":"a","token_type":"bearer","expires_in":3599,"scope":"x y"}"#,
        "granted 3599 x,y"
      ),
      (200, #"{"access_token":"a","token_type":"Bearer","expires_in":99999999}"#, "granted 86400 -"),
    ])
  func tokenAnswers(status: Int, body: String, meaning: String) {
    let told =
      switch TokenAnswer(status: status, body: Array(body.utf8)) {
      case .granted(let grant):
        "granted \(grant.lifetime.components.seconds) \(grant.scopes?.joined(separator: ",") ?? "-")"
      case .dead(let reason): "dead \(reason)"
      case .misconfigured(let error): "misconfigured \(error)"
      case .unavailable: "unavailable"
      }
    #expect(told == meaning)
  }

  @Test("Keys are fetched when unknown or stale, and not more often than the interval")
  func keyCache() throws {
    let key = try #require(try PrivateKey.generateRSA().publicKey.rsaComponents)
    let body: JSONValue = [
      "keys": [
        [
          "kty": "RSA", "kid": "a", "alg": "RS256", "use": "sig", "n": .string(Base64.encode(key.modulus, .urlSafe)),
          "e": .string(Base64.encode(key.exponent, .urlSafe)),
        ], ["kty": "EC", "kid": "b"], ["kty": "RSA", "kid": "c", "n": "AQAB", "e": "AQAB"],
        ["kty": "RSA", "kid": "d", "use": "enc", "n": .string(Base64.encode(key.modulus, .urlSafe)), "e": "AQAB"],
      ]
    ]
    let set = try #require(KeySet(body: body.encoded()))
    #expect(Set(set.keys.keys) == ["a"])
    #expect(KeySet(body: Array(#"{"keys":[]}"#.utf8)) == nil)

    func word(_ lookup: KeyCache.Lookup) -> String {
      switch lookup {
      case .key: "key"
      case .fetch: "fetch"
      case .unknown: "unknown"
      }
    }
    var cache = KeyCache()
    let start = Timestamp(seconds: 1_800_000_000)
    #expect(word(cache.lookup("a", now: start)) == "fetch")
    cache.fetched(set, maxAge: .seconds(20_000), now: start)
    #expect(word(cache.lookup("a", now: start + .seconds(19_999))) == "key")
    #expect(word(cache.lookup("b", now: start + .seconds(9))) == "unknown")
    #expect(word(cache.lookup("b", now: start + .seconds(10))) == "fetch")
    #expect(word(cache.lookup("a", now: start + .seconds(20_000))) == "fetch")
    cache.fetched(nil, maxAge: nil, now: start + .seconds(20_000))
    #expect(word(cache.lookup("a", now: start + .seconds(20_001))) == "key", "old keys serve while Google is away")
    cache.fetched(nil, maxAge: nil, now: start + .seconds(106_400))
    #expect(word(cache.lookup("a", now: start + .seconds(106_401))) == "unknown", "but not for ever")
    for (told, kept) in [(1, 300), (300, 300), (86_400, 86_400), (600_000, 86_400)] as [(Int64, Int64)] {
      cache.fetched(set, maxAge: .seconds(told), now: start)
      #expect(word(cache.lookup("a", now: start + .seconds(kept - 1))) == "key")
      #expect(word(cache.lookup("a", now: start + .seconds(kept))) == "fetch")
    }
    #expect(KeyCache.maxAge("public, max-age=19845, must-revalidate") == .seconds(19_845))
    #expect(KeyCache.maxAge("no-store") == nil)
    #expect(KeyCache.maxAge("max-age=-1") == nil)
  }

  @Test("A sealed column opens for its user and purpose only")
  func sealer() throws {
    let sealer = KeyringSealer(Keyring(generating: "k1"))
    let user = UserKey(tenant: "t", user: "ab")
    let sealed = try sealer.seal(SecretBytes("secret"), .accessToken, user)
    #expect(sealer.open(sealed, .accessToken, user) == SecretBytes("secret"))
    #expect(sealer.open(sealed, .verifier, user) == nil)
    #expect(sealer.open(sealed, .accessToken, UserKey(tenant: "ta", user: "b")) == nil)
    #expect(sealer.open(Array(sealed.dropLast()), .accessToken, user) == nil)
    #expect(KeyringSealer(Keyring(generating: "k1")).open(sealed, .accessToken, user) == nil)
    for count in 0..<4 { #expect(sealer.open(Array(sealed.prefix(count)), .accessToken, user) == nil) }
  }

  @Test(
    "What a platform may say at the start", arguments: ["a\u{7}b@c", "", String(repeating: "x", count: 321), "no-at"])
  func badHints(text: String) {
    #expect(throws: OAuthFailure.self) {
      try AuthorizationRequest(redirectURL: "https://a/", loginHint: nil, expectedEmail: text)
    }
  }

  @Test(
    "A redirect URL with a control character is none that can be registered",
    arguments: ["https://a/\0", "https://a/\n"])
  func controlInRedirect(url: String) {
    #expect(throws: OAuthFailure.redirectNotAllowed) {
      try AuthorizationRequest(redirectURL: url, loginHint: nil, expectedEmail: nil)
    }
  }

  @Test("A callback has a code or an error")
  func callbackShape() throws {
    for (code, error) in [("", ""), ("c", "e")] {
      #expect(throws: OAuthFailure.self) { try CallbackResult(state: "s", code: code, error: error) }
    }
    #expect(throws: OAuthFailure.invalidState) {
      try CallbackResult(state: "s", code: String(repeating: "c", count: 2049), error: "")
    }
    _ = try CallbackResult(state: "s", code: String(repeating: "c", count: 2048), error: "")
    for (state, error, isTaken) in [(512, 1, true), (513, 1, false), (0, 1, false), (1, 256, true), (1, 257, false)] {
      let result = try? CallbackResult(
        state: String(repeating: "s", count: state), code: "", error: String(repeating: "e", count: error))
      #expect((result != nil) == isTaken)
    }
  }

  @Test("A state is one of 43 characters that say 32 bytes")
  func states() {
    let state = FlowState.random()
    #expect(FlowState(state.text)?.hash == state.hash && state.hash == SHA256.hash(state.text.utf8))
    for text in [
      String(state.text.dropLast()), state.text + "A", "+" + state.text.dropFirst(), "=" + state.text.dropFirst(),
    ] {
      #expect(FlowState(text) == nil)
    }
  }

  @Test("Keys are changed by adding one in front: it seals, and what was sealed before still opens")
  func rotatedKeys() throws {
    let (old, new) = (Keyring(generating: "old"), Keyring(generating: "new"))
    let both = KeyringSealer(try Keyring(parsing: "\(new.revealedText),\(old.revealedText)"))
    let user = UserKey(tenant: "t", user: "u")
    let before = try KeyringSealer(old).seal(SecretBytes("secret"), .accessToken, user)
    #expect(both.open(before, .accessToken, user) == SecretBytes("secret"))
    let after = try both.seal(SecretBytes("secret"), .accessToken, user)
    #expect(KeyringSealer(new).open(after, .accessToken, user) == SecretBytes("secret"))
    #expect(KeyringSealer(old).open(after, .accessToken, user) == nil)
  }
}
