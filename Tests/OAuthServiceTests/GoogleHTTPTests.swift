import CivilTime
import EventLoop
import HTTPSClient
import HTTPServer
import HTTPTypes
import Logging
import StrictJSON
import Synchronization
import TLSSession
import TestSupport
import Testing
import URLSyntax

@testable import OAuthService

@Suite("Google over HTTP")
struct GoogleHTTPTests {
  /// What the stand-in saw and what it answers, one after the other.
  final class Stub {
    var seen: [(path: String, form: [String: String])] = []
    var answers: [HTTPServerResponse] = []
  }

  /// Collects everything that is logged.
  final class Lines: Sendable {
    let text = Mutex("")
    var logger: Logger {
      Logger(label: "test") { _ in Handler(lines: self) }
    }

    private struct Handler: LogHandler {
      let lines: Lines
      var metadata: Logger.Metadata = [:]
      var logLevel = Logger.Level.trace
      subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
      }
      func log(event: LogEvent) {
        lines.text.withLock { $0 += "\(event.message) \(event.metadata ?? [:])\n" }
      }
    }
  }

  private func withGoogle(_ body: @escaping @Sendable (GoogleHTTP, Stub, Lines) async throws -> Void) async throws {
    try await onLoop { reactor in
      let stub = Stub()
      let server = HTTPServer(on: reactor) { request in
        let body = try await request.body.collect(upTo: 65_536)
        stub.seen.append((request.head.path ?? "", queryItems("?" + String(decoding: body, as: UTF8.self))))
        return stub.answers.isEmpty ? HTTPServerResponse(.internalServerError) : stub.answers.removeFirst()
      }
      let address = try server.listen(try SocketAddress(numericHost: "127.0.0.1", port: 0))
      let base = "http://\(address)"
      let endpoints = GoogleEndpoints(
        authorization: HTTPURL("\(base)/auth")!, token: HTTPURL("\(base)/token")!,
        revocation: HTTPURL("\(base)/revoke")!, keys: HTTPURL("\(base)/certs")!, issuer: "https://g")
      let client = GoogleClient(
        id: "client-1", secret: SecretBytes("canary-secret &"), redirectURI: HTTPURL("https://crm/x")!)
      let lines = Lines()
      let http = try HTTPSClient(reactor: reactor)
      let google = GoogleHTTP(
        http: http, client: GoogleClientSource(client), endpoints: endpoints, keys: SharedKeyCache(),
        logger: lines.logger)
      try await body(google, stub, lines)
      http.close()
      server.close()
    }
  }

  private static func json(_ status: HTTPResponse.Status, _ text: String) -> HTTPServerResponse {
    HTTPServerResponse(status, headers: [.contentType: "application/json"], body: Array(text.utf8))
  }

  @Test("Code, verifier and client go in a form, and the grant comes back")
  func exchange() async throws {
    try await withGoogle { google, stub, _ in
      stub.answers = [
        Self.json(.ok, #"{"access_token":"a","token_type":"Bearer","expires_in":3599,"refresh_token":"r","scope":"x"}"#)
      ]
      let verifier = PKCEVerifier(secret: SecretBytes("the-verifier"))
      guard case .granted(let grant) = try await google.exchange(code: SecretBytes("4/0A+b"), verifier: verifier) else {
        Issue.record("not granted")
        return
      }
      #expect(grant.refreshToken == SecretBytes("r"))
      #expect(stub.seen.first?.path == "/token")
      #expect(
        stub.seen.first?.form == [
          "grant_type": "authorization_code", "code": "4/0A+b", "code_verifier": "the-verifier",
          "redirect_uri": "https://crm/x", "client_id": "client-1", "client_secret": "canary-secret &",
        ])
    }
  }

  @Test("A refresh is one request, whatever it is answered; no secret reaches the log")
  func refreshOnce() async throws {
    try await withGoogle { google, stub, lines in
      stub.answers = [
        Self.json(.internalServerError, "canary-body"), Self.json(.badRequest, #"{"error":"invalid_grant"}"#),
        Self.json(.unauthorized, #"{"error":"invalid_client","error_description":"canary-body"}"#),
      ]
      var told: [String] = []
      for _ in 0..<3 {
        switch try await google.refresh(SecretBytes("canary-token")) {
        case .unavailable: told.append("unavailable")
        case .dead: told.append("dead")
        case .misconfigured: told.append("misconfigured")
        case .granted: told.append("granted")
        }
      }
      #expect(told == ["unavailable", "dead", "misconfigured"])
      #expect(stub.seen.count == 3)
      let log = lines.text.withLock { $0 }
      #expect(!log.isEmpty)
      #expect(!log.contains("canary"))
    }
  }

  @Test("Google that cannot be reached is unavailable")
  func unreachable() async throws {
    try await withGoogle { google, stub, _ in
      stub.answers = [HTTPServerResponse.abandoned]
      guard case .unavailable = try await google.refresh(SecretBytes("t")) else {
        Issue.record("not unavailable")
        return
      }
    }
  }

  @Test("A revocation counts when the grant is dead, also when it was before")
  func revoke() async throws {
    try await withGoogle { google, stub, _ in
      stub.answers = [
        Self.json(.ok, "{}"), Self.json(.badRequest, #"{"error":"invalid_token"}"#), Self.json(.serviceUnavailable, ""),
      ]
      var told: [Bool] = []
      for _ in 0..<3 { told.append(try await google.revoke(SecretBytes("t/1"))) }
      #expect(told == [true, true, false])
      #expect(stub.seen.first?.form == ["token": "t/1"])
    }
  }

  @Test("Keys are fetched once and served from memory")
  func keys() async throws {
    let key = try #require(try PrivateKey.generateRSA().publicKey.rsaComponents)
    let (n, e) = (Base64.encode(key.modulus, .urlSafe), Base64.encode(key.exponent, .urlSafe))
    try await withGoogle { google, stub, _ in
      var answer = Self.json(.ok, #"{"keys":[{"kty":"RSA","kid":"k","alg":"RS256","n":"\#(n)","e":"\#(e)"}]}"#)
      answer.head.headerFields[.cacheControl] = "public, max-age=20000"
      stub.answers = [answer]
      for id in ["k", "k", "unknown", "unknown"] {
        let found = try await google.signingKey(id) != nil
        #expect(found == (id == "k"))
      }
      #expect(stub.seen.map(\.path) == ["/certs"])
    }
  }
}
