import CivilTime
import EventLoop
import Foundation
import HTTPSClient
import HTTPTypes
import StrictJSON
import TLSSession
import Testing

@testable import GoogleSandbox

/// The stand-in over real sockets, with the product's own client and with Google's.
@Suite(.timeLimit(.minutes(1)))
struct LiveTests {
  /// A served stand-in with a connected account: `body` gets its authority and the account's tokens.
  private func served<T: Sendable>(
    _ body: @Sendable (HTTPSClient, SandboxFixture, String, JSONValue) async throws -> T
  ) async throws -> T {
    let loop = try EventLoop.start(name: "sandbox")
    let result: Result<T, any Error> = await loop.run { reactor in
      do {
        let fixture = try SandboxFixture()
        fixture.clock.now = .now()
        let server = SandboxServer(fixture.sandbox, on: reactor)
        defer { server.close() }
        let address = try server.listen(try SocketAddress(numericHost: "127.0.0.1", port: 0))
        let client = try HTTPSClient(reactor: reactor)
        defer { client.close() }
        return .success(try await body(client, fixture, "127.0.0.1:\(address.port)", try fixture.connect()))
      } catch {
        return .failure(error)
      }
    }
    await loop.shutdown()
    return try result.get()
  }

  private static func sendRequest(_ authority: String, _ tokens: JSONValue) -> (HTTPRequest, RequestBody) {
    var request = HTTPRequest(
      method: .post, scheme: "http", authority: authority, path: "/gmail/v1/users/me/messages/send")
    request.headerFields[.authorization] = "Bearer \(tokens["access_token"]?.stringValue ?? "")"
    request.headerFields[.contentType] = "application/json"
    let raw = Base64.encode(SandboxFixture.plainMail, .urlSafe)
    return (request, RequestBody(Array("{\"raw\":\"\(raw)\"}".utf8)))
  }

  @Test(
    "A mail that is taken before the connection closes, or not taken at all, looks the same from outside: unknown",
    arguments: [true, false])
  func closes(_ isAccepted: Bool) async throws {
    let (delivery, accepted) = try await served { client, fixture, authority, tokens in
      try fixture.addFault("{\"route\":\"send\",\"close\":true,\"accept\":\(isAccepted)}")
      let (request, body) = Self.sendRequest(authority, tokens)
      do throws(HTTPSClientError) {
        _ = try await client.send(request, body: body)
        return (TransportObservation.Delivery?.none, 0)
      } catch {
        return (error.observation.delivery, fixture.sandbox.mailbox.acceptedCount)
      }
    }
    #expect(delivery == .unknown)
    #expect(accepted == (isAccepted ? 1 : 0))
  }

  @Test("A delayed answer outlasts the client's time-out, and the mail is there all the same")
  func delay() async throws {
    let (code, accepted) = try await served { client, fixture, authority, tokens in
      try fixture.addFault("{\"route\":\"send\",\"delay_ms\":60000}")
      let (request, body) = Self.sendRequest(authority, tokens)
      var options = HTTPSClient.Options()
      options.timeout = .milliseconds(200)
      do throws(HTTPSClientError) {
        _ = try await client.send(request, body: body, options: options)
        return (HTTPSClientError.Code?.none, 0)
      } catch {
        return (error.code, fixture.sandbox.mailbox.acceptedCount)
      }
    }
    #expect(code == .timeout)
    #expect(accepted == 1)
  }

  @Test(
    "Google's own client library sends in all three forms, reads the errors, and google-auth verifies the identity",
    .disabled(if: GooglePeer.isMissing, "no Python with google-api-python-client"))
  func googlePeer() async throws {
    let report = try await served { _, fixture, authority, tokens in
      try fixture.addFault(#"{"route":"send","status":429,"reason":"userRateLimitExceeded","message":"slow down"}"#)
      let arguments = [
        "http://\(authority)", tokens["access_token"]?.stringValue ?? "", tokens["id_token"]?.stringValue ?? "",
        SandboxFixture.client.id,
      ]
      return try await Self.inThread { try GooglePeer.run(arguments) }
    }
    #expect(report["rate_limited"] == ["status": 429, "reason": "userRateLimitExceeded"])
    #expect(report["unauthorized"] == ["status": 401, "reason": "authError"])
    #expect(report["sent"]?.arrayValue?.count == 3)
    #expect(report["undocumented_fields"] == [])
    #expect(report["email"]?.stringValue == "ada@example.com")
    #expect(report["max_upload"]?.stringValue == String(SendRequest.maxUploadBytes))
  }

  /// The loop must go on serving while the peer runs.
  private static func inThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
  }
}
