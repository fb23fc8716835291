import CivilTime
import Foundation
import HTTPTypes
import StrictJSON
import TLSSession
import Testing

@testable import GoogleSandbox

struct TokenTests {
  private func error(_ answer: SandboxAnswer) -> String? { (try? answer.value)?["error"]?.stringValue }

  @Test("A code brings tokens and a signed identity with every claim")
  func exchange() throws {
    let fixture = try SandboxFixture()
    let answer = try fixture.redeem(try #require(try fixture.consent("Ada@Example.com")["code"]))
    #expect(answer.status == 200)
    #expect(answer.fields[.cacheControl]?.contains("no-store") == true)
    let tokens = try answer.value
    #expect(tokens["token_type"]?.stringValue == "Bearer")
    #expect(tokens["expires_in"]?.int64Value == 3_599)
    let access = try #require(tokens["access_token"]?.stringValue)
    #expect(access.utf8.count <= 2_048)
    #expect(try #require(tokens["refresh_token"]?.stringValue).utf8.count <= 512)
    let parts = try #require(tokens["id_token"]?.stringValue).split(separator: ".")
    let header = try JSONValue(parsing: try #require(Base64.decode(parts[0], .urlSafe)))
    let claims = try JSONValue(parsing: try #require(Base64.decode(parts[1], .urlSafe)))
    #expect(header["alg"]?.stringValue == "RS256")
    let keySet = try fixture.request(.get, "/oauth2/v3/certs")
    #expect(keySet.fields[.cacheControl]?.contains("max-age=") == true)
    let key = try #require(try keySet.value["keys"]?.arrayValue?.first)
    #expect(key["kid"] == header["kid"])
    let modulus = try #require(key["n"]?.stringValue.flatMap { Base64.decode($0, .urlSafe) })
    let exponent = try #require(key["e"]?.stringValue.flatMap { Base64.decode($0, .urlSafe) })
    let publicKey = try PublicKey(rsaModulus: modulus, exponent: exponent)
    #expect(
      publicKey.verifyRS256(try #require(Base64.decode(parts[2], .urlSafe)), of: Array("\(parts[0]).\(parts[1])".utf8)))
    let now = fixture.clock.now.seconds
    let expected: [String: JSONValue] = [
      "iss": "https://accounts.google.com", "aud": "the-client", "azp": "the-client", "email": "ada@example.com",
      "email_verified": true, "nonce": "the-nonce", "iat": .number(JSONNumber(now)),
      "exp": .number(JSONNumber(now + 3_600)),
      "sub": .string(try #require(Account(address: "ada@example.com")).sub),
      "at_hash": .string(Base64.encode(SHA256.hash(access.utf8).prefix(16), .urlSafe)),
    ]
    for (name, value) in expected { #expect(claims[name] == value, "\(name)") }
  }

  @Test("A code works once")
  func singleUse() throws {
    let fixture = try SandboxFixture()
    let code = try #require(try fixture.consent("ada@example.com")["code"])
    #expect(try fixture.redeem(code).status == 200)
    #expect(error(try fixture.redeem(code)) == "invalid_grant")
  }

  @Test("A code lives ten minutes", arguments: [(599, 200), (600, 400)])
  func expiry(_ seconds: Int64, _ status: Int) throws {
    let fixture = try SandboxFixture()
    let code = try #require(try fixture.consent("ada@example.com")["code"])
    fixture.clock.now = fixture.clock.now + .seconds(seconds)
    #expect(try fixture.redeem(code).status == status)
  }

  @Test(
    "A wrong verifier, redirect URI or client is refused, and uses the code up where the client was right",
    arguments: [
      ("code_verifier", String(repeating: "w", count: 64), "invalid_grant", true),
      ("code_verifier", nil, "invalid_grant", true),
      ("redirect_uri", "https://platform.example/other", "redirect_uri_mismatch", true),
      ("client_secret", "wrong", "invalid_client", false), ("client_id", "other", "invalid_client", false),
      ("client_secret", nil, "invalid_request", false), ("grant_type", "password", "unsupported_grant_type", false),
    ] as [(String, String?, String, Bool)])
  func refused(_ name: String, _ value: String?, _ code: String, _ usesUp: Bool) throws {
    let fixture = try SandboxFixture()
    let granted = try #require(try fixture.consent("ada@example.com")["code"])
    #expect(error(try fixture.redeem(granted, [name: value])) == code)
    #expect(try fixture.redeem(granted).status == (usesUp ? 400 : 200))
  }

  @Test("Client credentials are taken by HTTP Basic too")
  func basic() throws {
    let fixture = try SandboxFixture()
    let token = try #require(try fixture.connect()["refresh_token"]?.stringValue)
    let body = URLEncodedForm([("grant_type", "refresh_token"), ("refresh_token", token)]).encoded
    let credentials = Base64.encode(Array("the-client:the-secret".utf8))
    let answer = try fixture.request(
      .post, "/token", [.contentType: "application/x-www-form-urlencoded", .authorization: "Basic \(credentials)"],
      body: Array(body.utf8))
    #expect(answer.status == 200)
  }

  @Test("A refresh token comes for offline access, and again only with consent asked for")
  func offline() throws {
    let fixture = try SandboxFixture()
    #expect(try fixture.connect("ada@example.com", ["access_type": "online"])["refresh_token"] == nil)
    #expect(try fixture.connect("ada@example.com", ["prompt": nil])["refresh_token"] != nil)
    #expect(try fixture.connect("ada@example.com", ["prompt": nil])["refresh_token"] == nil)
    #expect(try fixture.connect("ada@example.com")["refresh_token"] != nil)
  }

  @Test("A refresh brings a new access token and no refresh token, again and again, and ends no earlier one")
  func refresh() throws {
    let fixture = try SandboxFixture()
    let first = try fixture.connect()
    #expect(try fixture.refresh(try #require(first["refresh_token"]?.stringValue)).status == 200)
    let second = try fixture.refresh(try #require(first["refresh_token"]?.stringValue)).value
    let access = try #require(first["access_token"]?.stringValue)
    #expect(try fixture.send(SandboxFixture.plainMail, token: access).status == 200)
    #expect(second["access_token"] != nil && second["access_token"] != first["access_token"])
    #expect(second["refresh_token"] == nil)
    #expect(second["scope"] == first["scope"])
  }

  @Test("Past a hundred refresh tokens of an account the oldest dies without a word")
  func hundred() throws {
    let fixture = try SandboxFixture()
    let tokens = try (0...100).map { _ in try #require(try fixture.connect()["refresh_token"]?.stringValue) }
    #expect(error(try fixture.refresh(tokens[0])) == "invalid_grant")
    #expect(try fixture.refresh(tokens[1]).status == 200)
  }

  @Test("A revocation kills every token of the account and of no other")
  func revocation() throws {
    let fixture = try SandboxFixture()
    let (first, second) = (try fixture.connect(), try fixture.connect())
    let other = try fixture.connect("bob@example.com")
    let token = try #require(first["refresh_token"]?.stringValue)
    #expect(try fixture.post("/revoke", form: [("token", token)]).status == 200)
    #expect(error(try fixture.post("/revoke", form: [("token", token)])) == "invalid_token")
    #expect(error(try fixture.refresh(try #require(second["refresh_token"]?.stringValue))) == "invalid_grant")
    let access = try #require(second["access_token"]?.stringValue)
    #expect(try fixture.send(SandboxFixture.plainMail, token: access).status == 401)
    #expect(try fixture.refresh(try #require(other["refresh_token"]?.stringValue)).status == 200)
  }

  @Test(
    "An access token revokes too, and codes that were not redeemed yet die with the grant",
    arguments: ["form", "query", "account"])
  func revocationOfAll(how: String) throws {
    let fixture = try SandboxFixture()
    let tokens = try fixture.connect()
    let code = try #require(try fixture.consent("ada@example.com")["code"])
    let other = try #require(try fixture.consent("bob@example.com")["code"])
    let access = try #require(tokens["access_token"]?.stringValue)
    let answer =
      switch how {
      case "form": try fixture.post("/revoke", form: [("token", access)])
      case "query": try fixture.request(.post, "/revoke?token=\(access)")
      default: try fixture.request(.post, "/sandbox/revoke-account?account=Ada@example.com")
      }
    #expect(answer.status == (how == "account" ? 204 : 200))
    #expect(error(try fixture.refresh(try #require(tokens["refresh_token"]?.stringValue))) == "invalid_grant")
    #expect(error(try fixture.redeem(code)) == "invalid_grant")
    #expect(try fixture.redeem(other).status == 200)
    #expect(try fixture.send(SandboxFixture.plainMail, token: access).status == 401)
  }

  @Test("What is no token, or none any more, cannot be revoked")
  func revocationOfNone() throws {
    let fixture = try SandboxFixture()
    let tokens = try fixture.connect()
    #expect(error(try fixture.post("/revoke", form: [])) == "invalid_request")
    fixture.clock.now = fixture.clock.now + .seconds(3_599)
    for token in ["nonsense", try #require(tokens["access_token"]?.stringValue)] {
      #expect(error(try fixture.post("/revoke", form: [("token", token)])) == "invalid_token")
    }
    #expect(try fixture.refresh(try #require(tokens["refresh_token"]?.stringValue)).status == 200)
  }

  @Test(
    "A verifier is one by RFC 7636, whatever its hash, and none is taken where none was announced",
    arguments: [(42, false), (43, true), (128, true), (129, false)])
  func verifiers(length: Int, isTaken: Bool) throws {
    let fixture = try SandboxFixture()
    let verifier = String(repeating: "v", count: length)
    let challenge = Base64.encode(SHA256.hash(verifier.utf8), .urlSafe)
    let code = try #require(try fixture.consent("ada@example.com", ["code_challenge": challenge])["code"])
    #expect(try fixture.redeem(code, ["code_verifier": verifier]).status == (isTaken ? 200 : 400))
    let plain = ["code_challenge": nil, "code_challenge_method": nil] as [String: String?]
    let bare = try #require(try fixture.consent("ada@example.com", plain)["code"])
    #expect(error(try fixture.redeem(bare, ["code_verifier": verifier])) == "invalid_grant")
    let again = try #require(try fixture.consent("ada@example.com", plain)["code"])
    #expect(try fixture.redeem(again, ["code_verifier": nil]).status == 200)
  }

  @Test("A field that stands twice, and a client that is wrong by HTTP Basic, are refused and use no code up")
  func malformed() throws {
    let fixture = try SandboxFixture()
    let code = try #require(try fixture.consent("ada@example.com")["code"])
    let fields = [
      ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", SandboxFixture.redirectURI),
      ("code_verifier", SandboxFixture.verifier), ("client_id", "the-client"), ("client_secret", "the-secret"),
    ]
    #expect(error(try fixture.post("/token", form: fields + [("extra", "1"), ("extra", "2")])) == "invalid_request")
    let body = Array(URLEncodedForm(fields.map { (name: $0.0, value: $0.1) }).encoded.utf8)
    for credentials in ["the-client:wrong", "other:the-secret", "the-client", ""] {
      let answer = try fixture.request(
        .post, "/token",
        [
          .contentType: "application/x-www-form-urlencoded",
          .authorization: "Basic \(Base64.encode(Array(credentials.utf8)))",
        ], body: body)
      #expect(answer.status == 401 && error(answer) == "invalid_client")
    }
    #expect(try fixture.post("/token", form: fields).status == 200)
  }

  @Test("Codes and tokens are each their own, however many there are")
  func unique() throws {
    let fixture = try SandboxFixture()
    var seen: Set<String> = []
    for _ in 0..<20 {
      let code = try #require(try fixture.consent("ada@example.com")["code"])
      let tokens = try fixture.redeem(code).value
      for text in [code, tokens["access_token"]?.stringValue, tokens["refresh_token"]?.stringValue] {
        #expect(seen.insert(try #require(text)).inserted)
      }
    }
  }

  @Test("An unticked scope is missing from the answer, and sending is refused for it")
  func granularConsent() throws {
    let fixture = try SandboxFixture()
    let code = try #require(
      try fixture.consent("ada@example.com", form: [("decision", "allow"), ("boxes", "1")])["code"])
    let tokens = try fixture.redeem(code).value
    #expect(tokens["scope"]?.stringValue == "openid https://www.googleapis.com/auth/userinfo.email")
    let answer = try fixture.send(SandboxFixture.plainMail, token: try #require(tokens["access_token"]?.stringValue))
    #expect(answer.status == 403)
    #expect(answer.reason == "insufficientPermissions")
  }

  @Test("A second run with the same folder honours the first one's refresh tokens, key and mails, and its revocations")
  func persistence() throws {
    let folder = try TemporaryFolder()
    let first = try SandboxFixture(folder: folder.path)
    let ada = try first.connect("ada@example.com")
    let bob = try first.connect("bob@example.com")
    let sent = try first.send(SandboxFixture.plainMail, token: try #require(ada["access_token"]?.stringValue)).value
    _ = try first.post("/revoke", form: [("token", try #require(bob["refresh_token"]?.stringValue))])
    let second = try SandboxFixture(folder: folder.path)
    #expect(second.sandbox.signingKey.id == first.sandbox.signingKey.id)
    #expect(try second.refresh(try #require(ada["refresh_token"]?.stringValue)).status == 200)
    #expect(try second.refresh(try #require(bob["refresh_token"]?.stringValue)).status == 400)
    let mail = try second.request(.get, "/sandbox/messages/\(try #require(sent["id"]?.stringValue))").value
    #expect(mail["subject"]?.stringValue == "Hello")
    #expect(mail["raw"]?.stringValue == Base64.encode(SandboxFixture.plainMail, .urlSafe))
    let next = try second.connect("ada@example.com")
    let later = try second.send(SandboxFixture.plainMail, token: try #require(next["access_token"]?.stringValue)).value
    #expect(later["id"] != sent["id"])
  }

  @Test("A journal that a crash cut short is read up to there")
  func cutJournal() throws {
    let folder = try TemporaryFolder()
    let first = try SandboxFixture(folder: folder.path)
    let token = try #require(try first.connect()["refresh_token"]?.stringValue)
    let path = "\(folder.path)/journal.ndjson"
    let whole = try #require(FileManager.default.contents(atPath: path))
    try (whole + Data("{\"refresh_token\":\"1//cut".utf8)).write(to: URL(fileURLWithPath: path))
    #expect(try SandboxFixture(folder: folder.path).refresh(token).status == 200)
  }
}
