import EventLoop
import Foundation
import HTTPTypes
import Testing

@testable import HTTPSClient

/// What HTTP/2 servers do to a request, against a server that does it on purpose.
@Suite(.timeLimit(.minutes(1)), .disabled(if: ForeignServer.python == nil, "no Python with the h2 package"))
struct HTTP2FailureTests {
  private struct Report {
    let result: Result<HTTPSClient.Response, HTTPSClientError>
    /// How often the server saw the whole request.
    let seen: Int
  }

  /// Posts to `path`, on a connection that served a request before or on a fresh one.
  private func post(_ path: String, reused: Bool, body: [UInt8] = [1, 2, 3]) async throws -> Report {
    let server = try await ForeignServer.misbehaving()
    return try await withClient(server.trusting) { client, _ in
      if reused {
        _ = try await client.send(request(.post, server.authority, "/ok", scheme: "https"), body: RequestBody([1]))
      }
      let result = await client.outcome(
        request(.post, server.authority, path, scheme: "https"), body: RequestBody(body))
      let counts = try await client.send(request(.get, server.authority, "/seen", scheme: "https")).body
      let seen = try JSONDecoder().decode([String: Int].self, from: Data(counts))
      return Report(result: result, seen: seen[path] ?? 0)
    }
  }

  @Test("A connection that closes after the body, fresh or reused: seen once, unknown", arguments: [false, true])
  func closes(_ reused: Bool) async throws {
    let report = try await post("/close", reused: reused)
    #expect(report.result.error?.observation.delivery == .unknown)
    #expect(report.seen == 1)
  }

  @Test("A stream that is cancelled after the body: seen once, unknown", arguments: [false, true])
  func cancels(_ reused: Bool) async throws {
    let report = try await post("/cancel", reused: reused)
    #expect(report.result.error?.code == .protocolViolation)
    #expect(report.result.error?.observation.delivery == .unknown)
    #expect(report.seen == 1)
  }

  @Test(
    "A stream that the server refused, or that its GOAWAY does not cover: never seen twice, and sent again or told as it is",
    arguments: ["/refuse", "/goaway"], [false, true])
  func refuses(_ path: String, _ reused: Bool) async throws {
    let report = try await post(path, reused: reused)
    switch report.result {
    case .success(let response):
      #expect(response.head.status.code == 200)
      #expect(report.seen == 1)
    case .failure(let error):
      #expect(report.seen == 0)
      // libcurl does not say that a stream was refused on a connection that was used before.
      #expect(error.observation.delivery == (path == "/refuse" && reused ? .unknown : .notProcessed))
    }
  }
}
