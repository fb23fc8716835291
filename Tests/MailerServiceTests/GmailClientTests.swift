import EventLoop
import HTTPSClient
import TestSupport
import Testing

@testable import MailerService

@Suite("Requests to Gmail", .timeLimit(.minutes(1)))
struct GmailClientTests {
  private func withGmail(
    _ body: @escaping @Sendable (ScriptedGmail, GmailClient) async throws -> Void
  ) async throws {
    try await onLoop { reactor in
      let gmail = ScriptedGmail(reactor)
      defer { gmail.stop() }
      try await body(gmail, GmailClient(http: try HTTPSClient(reactor: reactor), origin: try gmail.start()))
    }
  }

  private func request(_ change: (inout GmailClient.Request) -> Void = { _ in }) -> GmailClient.Request {
    var request = GmailClient.Request(mail: [1], accessToken: "token", timeout: .seconds(30))
    change(&request)
    return request
  }

  @Test("None begins after its time")
  func late() async throws {
    try await withGmail { gmail, client in
      let verdict = await client.send(request { $0.notAfter = .now - .seconds(1) })
      guard case .notSent = verdict else {
        Issue.record("\(verdict)")
        return
      }
      #expect(gmail.requests.isEmpty)
    }
  }

  @Test("One without an answer ends after its time-out, and nobody knows its fate")
  func silence() async throws {
    try await withGmail { gmail, client in
      gmail.script = { _, _ in .silence }
      let begun = ContinuousClock.now
      let verdict = await client.send(request { $0.timeout = .milliseconds(300) })
      #expect(.now - begun < .seconds(20))
      guard case .unknown = verdict else {
        Issue.record("\(verdict)")
        return
      }
      #expect(gmail.requests.count == 1)
    }
  }

  @Test("One in a thread names it")
  func thread() async throws {
    try await withGmail { gmail, client in
      let verdict = await client.send(request { $0.threadID = "18a" })
      #expect(verdict == .success(messageID: "m1", threadID: "t1"))
      #expect(String(decoding: gmail.requests[0].body, as: UTF8.self) == #"{"raw":"AQ","threadId":"18a"}"#)
    }
  }
}
