import CivilTime
import Foundation
import HTTPTypes
import StrictJSON
import TLSSession
import Testing

@testable import GoogleSandbox

/// A stand-in without sockets, at a clock that the test moves, with the steps that most tests begin with.
final class SandboxFixture {
  final class Clock { var now = Timestamp(seconds: 1_800_000_000) }

  static let gmailSend = "https://www.googleapis.com/auth/gmail.send"
  static let redirectURI = "https://platform.example/callback"
  static let verifier = String(repeating: "v", count: 64)
  static let client = OAuthClient(id: "the-client", secret: "the-secret", redirectURIs: [redirectURI])

  /// Making one takes long.
  private static let key = Result { try SigningKey.generate() }

  let clock = Clock()
  let sandbox: Sandbox

  init(folder: String? = nil) throws {
    let clock = clock
    sandbox = try Sandbox(.init(client: Self.client, dataFolder: folder), key: try Self.key.get()) { clock.now }
  }

  func request(
    _ method: HTTPRequest.Method, _ target: String, _ fields: HTTPFields = [:], body: [UInt8] = []
  ) throws -> SandboxAnswer {
    sandbox.answer(try #require(SandboxRequest(method: method, target: target, fields: fields, body: body)))
  }

  func post(_ target: String, form: [(String, String)]) throws -> SandboxAnswer {
    let body = URLEncodedForm(form.map { (name: $0.0, value: $0.1) }).encoded
    return try request(.post, target, [.contentType: "application/x-www-form-urlencoded"], body: Array(body.utf8))
  }

  // MARK: OAuth

  static func authorization(_ changes: [String: String?] = [:]) -> String {
    let challenge = Base64.encode(SHA256.hash(verifier.utf8), .urlSafe)
    var fields: [String: String?] = [
      "client_id": client.id, "redirect_uri": redirectURI, "response_type": "code",
      "scope": "openid email \(gmailSend)",
      "state": "the state", "nonce": "the-nonce", "code_challenge": challenge, "code_challenge_method": "S256",
      "access_type": "offline", "prompt": "consent",
    ]
    fields.merge(changes) { $1 }
    let form = fields.sorted { $0.key < $1.key }.compactMap { name, value in value.map { (name: name, value: $0) } }
    return "/o/oauth2/v2/auth?\(URLEncodedForm(form).encoded)"
  }

  /// The query of the redirect after the consent.
  func consent(
    _ address: String, _ changes: [String: String?] = [:], form: [(String, String)] = [("decision", "allow")]
  ) throws -> URLEncodedForm {
    let answer = try post(Self.authorization(changes), form: [("email", address)] + form)
    #expect(answer.status == 302)
    let location = try #require(answer.fields[.location])
    let parts = location.split(separator: "?", maxSplits: 1)
    #expect(parts[0] == Self.redirectURI)
    return try #require(URLEncodedForm(parsing: Array(parts[1].utf8)))
  }

  func redeem(_ code: String, _ changes: [String: String?] = [:]) throws -> SandboxAnswer {
    var fields: [String: String?] = [
      "grant_type": "authorization_code", "code": code, "client_id": Self.client.id,
      "client_secret": Self.client.secret,
      "redirect_uri": Self.redirectURI, "code_verifier": Self.verifier,
    ]
    fields.merge(changes) { $1 }
    return try post("/token", form: fields.compactMap { name, value in value.map { (name, $0) } })
  }

  func refresh(_ token: String) throws -> SandboxAnswer {
    try post(
      "/token",
      form: [
        ("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", Self.client.id),
        ("client_secret", Self.client.secret),
      ])
  }

  func connect(_ address: String = "ada@example.com", _ changes: [String: String?] = [:]) throws -> JSONValue {
    let code = try #require(try consent(address, changes)["code"])
    let answer = try redeem(code)
    #expect(answer.status == 200)
    return try answer.value
  }

  // MARK: Gmail

  static func mail(_ lines: String...) -> [UInt8] { Array(lines.joined(separator: "\r\n").utf8) }

  static let plainMail = mail(
    "From: Ada <ada@example.com>", "To: grace@example.com", "Subject: Hello", "Message-ID: <1@example.com>", "", "Hi.",
    "")

  func send(_ raw: [UInt8], token: String, thread: String? = nil) throws -> SandboxAnswer {
    var json = JSONWriter()
    json.object { json in
      json.member("raw", Base64.encode(raw, .urlSafe))
      if let thread { json.member("threadId", thread) }
    }
    return try request(
      .post, "/gmail/v1/users/me/messages/send",
      [.authorization: "Bearer \(token)", .contentType: "application/json"], body: json.finish())
  }

  func addFault(_ json: String) throws {
    let answer = try request(.post, "/sandbox/faults", body: Array(json.utf8))
    #expect(answer.status == 201, "\(answer.text)")
  }
}

extension SandboxAnswer {
  var text: String { String(decoding: body, as: UTF8.self) }
  var value: JSONValue { get throws { try JSONValue(parsing: body) } }

  /// The reason in an error of Google's APIs.
  var reason: String? { (try? value)?["error"]?["errors"]?.arrayValue?.first?["reason"]?.stringValue }
}

/// A folder that goes away with the test.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "google-sandbox-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
