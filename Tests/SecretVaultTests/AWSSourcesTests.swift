import CivilTime
import EventLoop
import Foundation
import HTTPSClient
import StrictJSON
import TLSSession
import TestSupport
import Testing

@testable import SecretVault

/// Where credentials come from, and what is repeated.
@Suite struct AWSSourcesTests {
  private static let owner = SecretOwner(tenant: "default", user: "u")
  private static let credentials = """
    {"AccessKeyId":"ROLEKEY","SecretAccessKey":"s","Token":"session-token","Expiration":"2099-01-01T00:00:00Z"}
    """
  private static let secret = #"{"ARN":"arn:x","SecretString":"{\"refresh_token\":\"r\"}"}"#
  private static let noKeys = ["AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""]

  @Test("a throttled and a failed call are repeated, and the answer then counts")
  func throttling() async throws {
    let server = try CannedServer { _, number in
      switch number {
      case 1: (400, #"{"__type":"ThrottlingException:http://internal.amazon.com/","message":"slow down"}"#)
      case 2: (503, "")
      case 3: (429, "")
      default: (200, Self.secret)
      }
    }
    defer { server.stop() }
    try await withAWS(["AWS_ENDPOINT_URL": server.url]) { vault in
      let got = try await vault.get(Self.owner)
      #expect(got?.refreshToken == SecretBytes("r"))
    }
    #expect(server.requests.count == 4)
    #expect(server.requests.allSatisfy { $0.head.contains("secretsmanager.GetSecretValue") })
  }

  @Test("all attempts of a write carry one token, so that a repetition changes nothing")
  func writeToken() async throws {
    let server = try CannedServer { request, _ in
      request.head.contains("CreateSecret") ? (400, #"{"__type":"ResourceExistsException"}"#) : (200, Self.secret)
    }
    defer { server.stop() }
    try await withAWS(["AWS_ENDPOINT_URL": server.url]) { vault in
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("r")), for: Self.owner)
    }
    let tokens = try server.requests.map(\.body).filter { $0.contains("ClientRequestToken") }.map {
      try JSONValue(parsing: Array($0.utf8))["ClientRequestToken"]?.stringValue
    }
    #expect(tokens.count == 2)
    #expect(Set(tokens).count == 1)
  }

  @Test("a refusal of our rights is not repeated and is called \"denied\"")
  func denied() async throws {
    let server = try CannedServer { _, _ in (400, #"{"__type":"com.amazon#AccessDeniedException"}"#) }
    defer { server.stop() }
    try await withAWS(["AWS_ENDPOINT_URL": server.url]) { vault in
      let error = await vaultFailure { try await vault.get(Self.owner) }
      #expect(error?.code == .denied)
    }
    #expect(server.requests.count == 1)
  }

  @Test("a container's credentials are fetched once, with its token, and their session token is sent and signed")
  func container() async throws {
    let server = try CannedServer { request, _ in
      request.path == "/v1/credentials" ? (200, Self.credentials) : (200, Self.secret)
    }
    defer { server.stop() }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = server.url
    environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url + "/v1/credentials"
    environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "pod-token"
    try await withAWS(environment) { vault in
      try await withThrowingTaskGroup(of: Void.self) { group in
        nonisolated(unsafe) let vault = vault  // children stay on the loop
        for _ in 0..<5 { group.addTask { _ = try await vault.get(Self.owner) } }
        try await group.waitForAll()
      }
    }
    let fetches = server.requests.filter { $0.path == "/v1/credentials" }
    #expect(fetches.count == 1)
    #expect(fetches[0].head.lowercased().contains("authorization: pod-token"))
    let calls = server.requests.filter { $0.path == "/" }
    #expect(calls.count == 5)
    for call in calls {
      #expect(call.head.contains("Credential=ROLEKEY/"))
      #expect(call.head.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target"))
      #expect(call.head.lowercased().contains("x-amz-security-token: session-token"))
    }
  }

  @Test("instance metadata is asked by IMDSv2: a token first, then the role, then its credentials")
  func instanceMetadata() async throws {
    let server = try CannedServer { request, _ in
      let folder = "/latest/meta-data/iam/security-credentials/"
      let hasToken = request.head.lowercased().contains("x-aws-ec2-metadata-token: imds")
      switch (request.method, request.path) {
      case ("PUT", "/latest/api/token"): return (200, "imds")
      case ("GET", folder) where hasToken: return (200, "role name\n")
      case ("GET", folder + "role%20name") where hasToken: return (200, Self.credentials)
      case ("POST", "/"): return (200, Self.secret)
      default: return (401, "")
      }
    }
    defer { server.stop() }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = server.url
    environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server.url
    try await withAWS(environment) { vault in
      let got = try await vault.get(Self.owner)
      #expect(got?.refreshToken == SecretBytes("r"))
    }
    #expect(server.requests.map(\.method) == ["PUT", "GET", "GET", "POST"])
  }

  @Test("expired credentials are fetched anew when the service says so")
  func expiredCredentials() async throws {
    let server = try CannedServer { request, number in
      if request.path == "/c" { return (200, Self.credentials) }
      return number == 2 ? (400, #"{"__type":"ExpiredTokenException"}"#) : (200, Self.secret)
    }
    defer { server.stop() }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = server.url
    environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url + "/c"
    try await withAWS(environment) { vault in _ = try await vault.get(Self.owner) }
    #expect(server.requests.map(\.path) == ["/c", "/", "/c", "/"])
  }

  @Test("credentials are renewed minutes before their end, and serve until it where that fails")
  func renewal() async throws {
    let soon = (Timestamp.now() + .seconds(200)).rfc3339()
    let server = try CannedServer { request, number in
      guard request.path == "/c" else { return (200, Self.secret) }
      return number > 1 ? (500, "") : (200, Self.credentials.replacing("2099-01-01T00:00:00Z", with: soon))
    }
    defer { server.stop() }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = server.url
    environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url + "/c"
    try await withAWS(environment) { vault in
      for _ in 0..<2 { _ = try await vault.get(Self.owner) }
    }
    #expect(server.requests.map(\.path) == ["/c", "/", "/c", "/"])
  }

  @Test("a container's token is read from its file, where there is one")
  func containerTokenFile() async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID().uuidString)")
    try "file-token\n".write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    let server = try CannedServer { request, _ in
      request.path == "/c" ? (200, Self.credentials) : (200, Self.secret)
    }
    defer { server.stop() }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = server.url
    environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url + "/c"
    environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "token"
    environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = file.path
    try await withAWS(environment) { vault in _ = try await vault.get(Self.owner) }
    #expect(server.requests.first?.head.lowercased().contains("authorization: file-token") == true)
  }

  @Test(
    "a Kubernetes service account takes its role by its token's file", .enabled(if: SecretsManagerFixture.url != nil))
  func webIdentity() async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("token-\(UUID().uuidString)")
    try "a.web.token\n".write(to: file, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: file) }
    var environment = Self.noKeys
    environment["AWS_ENDPOINT_URL"] = SecretsManagerFixture.url
    environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = file.path
    environment["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/emailmcp"
    try await withAWS(environment) { vault in
      let owner = SecretOwner(tenant: "default", user: "irsa\(UUID().uuidString)")
      _ = try await vault.put(UserSecret(refreshToken: SecretBytes("r")), for: owner)
      let got = try await vault.get(owner)
      #expect(got?.refreshToken == SecretBytes("r"))
    }
  }

  @Test("the operator's OAuth client is read from oauth/config, and kept for a while")
  func oauthClient() async throws {
    let value = #"{\"client_id\":\"id\",\"client_secret\":\"cs\",\"redirect_uri\":\"https://x/cb\"}"#
    let server = try CannedServer { _, _ in (200, #"{"SecretString":"\#(value)"}"#) }
    defer { server.stop() }
    try await withAWS(["AWS_ENDPOINT_URL": server.url]) { vault in
      for _ in 0..<3 {
        let client = try await vault.oauthClient()
        #expect(client?.clientID == "id")
        #expect(client?.clientSecret == SecretBytes("cs"))
        #expect(client?.redirectURI == "https://x/cb")
      }
    }
    #expect(server.requests.count == 1)
    #expect(server.requests[0].body.contains("emailmcp/oauth/config"))
  }
}
