import CivilTime
import TLSSession
import TestSupport
import Testing
import URLSyntax

@testable import SecretVault

@Suite struct AWSTests {
  // The vectors that AWS publishes with Signature Version 4 (aws-sig-v4-test-suite), and its documentation's key.
  private static let example = AWSCredentials(
    accessKeyID: "AKIDEXAMPLE", secretAccessKey: SecretBytes("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))

  @Test(
    "requests are signed as in AWS's published test suite",
    arguments: [
      (
        "GET", "/", "", [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")], "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
      ),
      (
        "POST", "/", "", [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")], "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
      ),
      (
        "GET", "/", "Param1=value1&Param2=value2",
        [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")], "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
      ),
      (
        "GET", "/", "",
        [
          ("x-amz-date", "20150830T123600Z"), ("my-header1", " value1"), ("my-header2", " \"a   b   c\""),
          ("host", "example.amazonaws.com"),
        ], "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
      ),
      (
        "POST", "/", "",
        [
          ("content-type", "application/x-www-form-urlencoded"), ("host", "example.amazonaws.com"),
          ("x-amz-date", "20150830T123600Z"),
        ], "Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
      ),
    ])
  func signature(
    method: String, path: String, query: String, headers: [(String, String)], body: String, expected: String
  ) throws {
    let time = try #require(Timestamp(rfc3339: "2015-08-30T12:36:00Z"))
    let value = SignatureV4(credentials: Self.example, region: "us-east-1", service: "service").authorization(
      method: method, path: path, query: query, headers: headers.map { (name: $0.0, value: $0.1) },
      body: Array(body.utf8), at: time)
    #expect(
      value.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")
    )
    #expect(value.hasSuffix("Signature=\(expected)"))
  }

  @Test("the signing key is the one of AWS's documentation")
  func signingKey() {
    let signer = SignatureV4(
      credentials: AWSCredentials(
        accessKeyID: "", secretAccessKey: SecretBytes("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
      region: "us-east-1", service: "iam")
    #expect(
      Hex.encode(signer.signingKey(day: "20120215"))
        == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d")
  }

  @Test(
    "a user's id becomes a secret name one-to-one",
    arguments: [
      ("anna", "emailmcp/users/anna/gmail"), ("a/gmail", "emailmcp/users/a+2Fgmail/gmail"),
      ("..", "emailmcp/users/+2E+2E/gmail"), ("a+b=c", "emailmcp/users/a+2Bb+3Dc/gmail"),
      ("é", "emailmcp/users/+C3+A9/gmail"), ("x@y.z-_", "emailmcp/users/x@y.z-_/gmail"),
    ])
  func names(user: String, name: String) {
    #expect(SecretName(SecretOwner(tenant: "default", user: user)).text == name)
  }

  @Test("an id whose name is as long as may be is encoded, and one byte more is hashed")
  func nameLimit() {
    func user(_ id: String) -> String { SecretName.encode(id) }
    let longest = String(repeating: "u", count: SecretName.maxUserLength)
    #expect(user(longest) == longest)
    #expect(user(longest + "u").hasPrefix("=") && user(longest + "u").utf8.count == 65)
    let escaped = String(repeating: "/", count: SecretName.maxUserLength / 3)
    #expect(user(escaped).utf8.count == SecretName.maxUserLength && user(escaped).hasPrefix("+2F"))
    #expect(user("u" + escaped).hasPrefix("="))
  }

  @Test("owners are told apart by every byte of tenant, user and provider")
  func owners() {
    let owner = SecretOwner(tenant: "t", user: "\u{E9}")
    for other in [
      SecretOwner(tenant: "T", user: "\u{E9}"), SecretOwner(tenant: "t", user: "e\u{301}"),
      SecretOwner(tenant: "t", user: "\u{E9}", provider: "other"),
    ] {
      #expect(owner != other && Set([owner, other]).count == 2)
    }
    #expect(owner == SecretOwner(tenant: "t", user: "\u{E9}", provider: "gmail_api"))
    #expect(SecretName(SecretOwner(tenant: "default", user: "u", provider: "other")).text == "emailmcp/users/u/other")
  }

  @Test(
    "plain http goes to this machine and its own network, https anywhere",
    arguments: [
      ("http://127.8.8.8:1", true, "127.8.8.8"), ("http://[::1]:1/x", true, "::1"),
      ("http://LOCALHOST", true, "localhost"),
      ("HTTPS://A.example:1", true, "a.example"), ("http://a.example", false, ""), ("http://[::2]", false, ""),
      ("http://169.254.169.254", false, ""), ("ftp://localhost", false, ""), ("localhost", false, ""),
    ])
  func endpoints(url: String, isAllowed: Bool, host: String) {
    let endpoint = try? HTTPURL(aws: url)
    #expect((endpoint != nil) == isAllowed && (endpoint == nil || endpoint?.host == host))
  }

  @Test("an endpoint's path has its query, and is there where none was given")
  func endpointPaths() throws {
    #expect(try HTTPURL(aws: "https://a").target == "/" && HTTPURL(aws: "https://a?b=c").target == "/?b=c")
    #expect(try HTTPURL(aws: "https://a/b?c").target == "/b?c" && HTTPURL(aws: "https://a:1/b").authority == "a:1")
    #expect(try HTTPURL(aws: "http://169.254.170.23/v1", linkLocal: true).host == "169.254.170.23")
    #expect(throws: VaultError.self) { try HTTPURL(aws: "http://169.254.1.1", linkLocal: true) }
  }

  @Test("the longest id of the longest tenant still makes a legal name, and not another's")
  func longNames() {
    let tenant = String(repeating: "t", count: 63)
    let a = SecretName(SecretOwner(tenant: tenant, user: String(repeating: "\u{1F511}", count: 255))).text
    let b = SecretName(SecretOwner(tenant: tenant, user: String(repeating: "\u{1F511}", count: 254))).text
    let exact = SecretName(SecretOwner(tenant: tenant, user: String(repeating: "u", count: 255))).text
    for name in [a, b, exact] { #expect(name.utf8.count <= 512) }
    #expect(a != b)
    #expect(exact.hasPrefix("emailmcp/tenants/\(tenant)/users/uuu"))
  }

  @Test("settings come by the SDKs' own names, half a key pair and a stray plain http are refused")
  func settings() throws {
    func make(_ environment: [String: String]) throws -> AWSSettings {
      try AWSSettings { ["AWS_REGION": "cn-north-1"].merging(environment) { $1 }[$0] }
    }
    #expect(try make([:]).endpoint.authority == "secretsmanager.cn-north-1.amazonaws.com.cn")
    #expect(
      try make(["AWS_ENDPOINT_URL": "http://a:1", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://localhost:2"]).endpoint
        == HTTPURL(aws: "http://localhost:2"))
    #expect(try make(["AWS_ENDPOINT_URL": "http://moto:5000"]).plaintextHosts.contains("moto"))
    #expect(
      try make(["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x?a"]).container?.url
        == HTTPURL(aws: "http://169.254.170.2/v2/x?a", linkLocal: true))
    #expect(throws: VaultError.self) { try make(["AWS_ACCESS_KEY_ID": "x"]) }
    for url in [
      "http://secretsmanager.example.com", "http://169.254.169.254", "http://[fe80::1]", "https://user@host",
      "https:///",
    ] {
      #expect(throws: VaultError.self, "\(url)") { try make(["AWS_ENDPOINT_URL": url]) }
    }
    #expect(throws: VaultError.self) { try make(["AWS_REGION": "a/b"]) }
    #expect(throws: VaultError.self) { try AWSSettings { _ in nil } }
  }

  @Test("credentials are read from the endpoints' JSON and from STS's XML")
  func credentialAnswers() throws {
    let json =
      #"{"AccessKeyId":"a","SecretAccessKey":"s","Token":"t","Expiration":"2026-11-22T10:39:00Z","Code":"Success"}"#
    let parsed = try AWSCredentialChain.parse(Array(json.utf8))
    #expect(parsed.accessKeyID == "a")
    #expect(parsed.sessionToken == SecretBytes("t"))
    #expect(parsed.expiresAt == Timestamp(rfc3339: "2026-11-22T10:39:00Z"))
    let xml = "<R><Credentials><AccessKeyId>AK</AccessKeyId><SessionToken>x/y==</SessionToken></Credentials></R>"
    #expect(AWSCredentialChain.element("AccessKeyId", xml) == "AK")
    #expect(AWSCredentialChain.element("SecretAccessKey", xml) == nil)
    #expect(AWSCredentialChain.element("AccessKeyId", "<AccessKeyId>a&amp;b</AccessKeyId>") == nil)
    #expect(throws: VaultError.self) { try AWSCredentialChain.parse(Array(#"{"Code":"Failed"}"#.utf8)) }
  }

  @Test("another tool's secret is read with all the fields it may have")
  func foreignSecret() throws {
    let json =
      #"{"client_id":"c","client_secret":"cs","refresh_token":"r","access_token":"a","expires_at":1795000000,"extra":[1]}"#
    let secret = try UserSecret(json: Array(json.utf8))
    #expect(secret.clientID == "c")
    #expect(secret.clientSecret == SecretBytes("cs"))
    #expect(secret.expiresAt == "1795000000")
    #expect(throws: VaultError.self) { try UserSecret(json: Array(#"{"refresh_token":""}"#.utf8)) }
    #expect(!"\(secret)".contains("cs"))
  }

  @Test("a service that is away is \"unavailable\", and no credentials is a message that says where it looked")
  func failures() async throws {
    try await withAWS(["AWS_ENDPOINT_URL": "http://127.0.0.1:1"]) { vault in
      let error = await vaultFailure { try await vault.get(SecretOwner(tenant: "default", user: "u")) }
      #expect(error?.code == .unavailable)
    }
    try await withAWS([
      "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
    ]) { vault in
      let error = await vaultFailure { try await vault.get(SecretOwner(tenant: "default", user: "u")) }
      #expect(error?.code == .configuration)
    }
  }
}
