import HTTPTypes
import Testing

@testable import GoogleSandbox

struct AuthorizeTests {
  @Test("The consent page is a plain form with the account and a box for each scope, and no script")
  func page() throws {
    let fixture = try SandboxFixture()
    let answer = try fixture.request(.get, SandboxFixture.authorization(["login_hint": "Ada@Example.com"]))
    #expect(answer.status == 200)
    #expect(answer.text.contains("<form method=\"post\""))
    #expect(answer.text.contains("name=\"email\" value=\"ada@example.com\""))
    #expect(answer.text.contains("name=\"grant\" value=\"\(SandboxFixture.gmailSend)\" checked"))
    #expect(!answer.text.contains("<script"))
  }

  @Test("A known account is offered as a choice, and taken when nothing is typed")
  func knownAccount() throws {
    let fixture = try SandboxFixture()
    _ = try fixture.connect("ada@example.com")
    let page = try fixture.request(.get, SandboxFixture.authorization(["login_hint": "ada@example.com"]))
    #expect(page.text.contains("name=\"account\" value=\"ada@example.com\" checked"))
    let query = try fixture.consent("", form: [("account", "ada@example.com"), ("decision", "allow")])
    #expect(query["code"] != nil)
  }

  @Test("What came with the request is escaped on the page")
  func escaping() throws {
    let hostile = "\"><script>alert(1)</script>"
    let answer = try SandboxFixture().request(
      .get, SandboxFixture.authorization(["state": hostile, "login_hint": hostile]))
    #expect(answer.status == 200)
    #expect(!answer.text.contains("<script"))
  }

  @Test(
    "A request that Google refuses is refused on a page, never by a redirect",
    arguments: [
      ("client_id", nil, 400, "invalid_request"), ("client_id", "other", 401, "invalid_client"),
      ("redirect_uri", nil, 400, "invalid_request"),
      ("redirect_uri", "https://platform.example/callback/", 400, "redirect_uri_mismatch"),
      ("redirect_uri", "https://evil.example/callback", 400, "redirect_uri_mismatch"),
      ("response_type", nil, 400, "invalid_request"), ("response_type", "token", 400, "unsupported_response_type"),
      ("scope", nil, 400, "invalid_request"), ("scope", "openid https://example.com/other", 400, "invalid_scope"),
      ("access_type", "always", 400, "invalid_request"), ("prompt", "none consent", 400, "invalid_request"),
      ("code_challenge_method", "plain", 400, "invalid_request"),
      ("code_challenge_method", nil, 400, "invalid_request"),
      ("code_challenge", "short", 400, "invalid_request"), ("code_challenge", nil, 400, "invalid_request"),
    ] as [(String, String?, Int, String)])
  func refusals(_ name: String, _ value: String?, _ status: Int, _ code: String) throws {
    let fixture = try SandboxFixture()
    let target = SandboxFixture.authorization([name: value])
    for answer in [
      try fixture.request(.get, target), try fixture.post(target, form: [("email", "a@b.c"), ("decision", "allow")]),
    ] {
      #expect(answer.status == status)
      #expect(answer.text.contains("Error \(status): \(code)"))
      #expect(answer.fields[.location] == nil)
    }
  }

  @Test("A parameter given twice is refused")
  func repeated() throws {
    let answer = try SandboxFixture().request(.get, SandboxFixture.authorization() + "&state=other")
    #expect(answer.status == 400)
  }

  @Test("Deny goes back with access_denied and the state")
  func deny() throws {
    let query = try SandboxFixture().consent("ada@example.com", form: [("decision", "deny")])
    #expect(query == URLEncodedForm([("state", "the state"), ("error", "access_denied")]))
  }

  @Test("prompt=none goes back with interaction_required")
  func promptNone() throws {
    let answer = try SandboxFixture().request(.get, SandboxFixture.authorization(["prompt": "none"]))
    #expect(answer.status == 302)
    #expect(answer.fields[.location]?.contains("error=interaction_required") == true)
  }

  @Test("What is no address brings the page again", arguments: ["", "nobody", "a@b@c", "a b@c", "<a@b.c>"])
  func badAddress(_ address: String) throws {
    let answer = try SandboxFixture().post(
      SandboxFixture.authorization(), form: [("email", address), ("decision", "allow")])
    #expect(answer.status == 400)
    #expect(answer.text.contains("role=\"alert\""))
  }

  @Test("A code is at most 256 bytes and comes with state and the granted scopes, spelled as Google spells them")
  func code() throws {
    let query = try SandboxFixture().consent("ada@example.com")
    #expect(try #require(query["code"]).utf8.count <= 256)
    #expect(query["state"] == "the state")
    #expect(query["scope"] == "openid https://www.googleapis.com/auth/userinfo.email \(SandboxFixture.gmailSend)")
  }
}
