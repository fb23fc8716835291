import EventLoop
import HTTPSClient
import HTTPTypes
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

/// How far a caller's hanging up reaches: to the query that runs for it and to the request that its handler makes; not to
/// a send, which is committed before its first byte leaves.
@Suite("A caller that hangs up", .timeLimit(.minutes(5)))
struct CancellationTests {
  /// Statements of this database that wait for a lock.
  private static let blocked =
    "SELECT min(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

  /// Holds what `listSuppressions` reads against everybody, for as long as `body` runs.
  private func holdingSuppressions(
    _ harness: MailerHarness, _ body: () async throws -> Void
  ) async throws {
    try await harness.asOwner { transaction in
      try await transaction.query("LOCK TABLE suppressions IN ACCESS EXCLUSIVE MODE")
      try await body()
    }
  }

  private func list(_ harness: MailerHarness, timeout: Duration) -> Task<StatusCode, any Error> {
    harness.reactor.spawn {
      do {
        _ = try await harness.call(
          Mailer.listSuppressions, Mailer.ListSuppressionsRequest(), scopes: ["admin"], timeout: timeout)
        return .ok
      } catch {
        return RPCError(error).code
      }
    }
  }

  /// Waits until a statement is blocked; nil when none is any more, or was in time.
  private func blockedProcess(_ harness: MailerHarness, within limit: Duration) async throws -> String? {
    let end = Instant.current() + limit
    while Instant.current() < end {
      if let pid = try harness.value(Self.blocked) { return pid }
      try await harness.reactor.sleep(for: .milliseconds(5))
    }
    return nil
  }

  /// Postgres has ended the statement though what it waits for is still held, and kept the connection.
  private func expectCancelled(_ pid: String, _ harness: MailerHarness) async throws {
    let isOver = try await harness.eventually { try harness.value(Self.blocked) == nil }
    #expect(isOver)
    let state = "SELECT state FROM pg_stat_activity WHERE pid = \(pid)"
    let isIdle = try await harness.eventually { try harness.value(state) == "idle" }
    #expect(isIdle)
  }

  @Test("Its query is cancelled in Postgres, and the connection serves the next call")
  func query() async throws {
    try await MailerHarness.run { harness in
      try await holdingSuppressions(harness) {
        let call = list(harness, timeout: .seconds(60))
        let pid = try #require(try await blockedProcess(harness, within: .seconds(10)))
        call.cancel()
        try await expectCancelled(pid, harness)
        #expect(try await call.value == .cancelled)
      }
      #expect(try await list(harness, timeout: .seconds(60)).value == .ok)
    }
  }

  @Test("The query of a call whose time is up is cancelled in Postgres")
  func deadline() async throws {
    try await MailerHarness.run { harness in
      try await holdingSuppressions(harness) {
        // Time enough to be seen waiting: more of it where the machine is busy.
        for milliseconds in [300, 1_500, 6_000] {
          let call = list(harness, timeout: .milliseconds(milliseconds))
          let pid = try await blockedProcess(harness, within: .milliseconds(milliseconds))
          #expect(try await call.value == .deadlineExceeded)
          guard let pid else { continue }
          return try await expectCancelled(pid, harness)
        }
        Issue.record("no query was seen to wait")
      }
    }
  }

  @Test("The HTTP request that its handler makes is aborted")
  func request() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .silence }
      let (reactor, http) = (harness.reactor, try HTTPSClient(reactor: harness.reactor))
      let server = RPCServer(on: reactor)
      let authority = String(harness.gmailURL.dropFirst("http://".count))
      server.handle(Fetch.method) { _, _ in
        let request = HTTPRequest(method: .post, scheme: "http", authority: authority, path: "/")
        _ = try await http.send(request, body: RequestBody(Array("x".utf8)))
        return HealthCheckResponse()
      }
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      let call = reactor.spawn { _ = try await channel.call(Fetch.method, HealthCheckRequest()) }
      let isUnderWay = try await harness.eventually { harness.gmail.requests.count == 1 }
      #expect(isUnderWay)
      #expect(harness.gmail.hangUps == 0)
      call.cancel()
      let isAborted = try await harness.eventually { harness.gmail.hangUps == 1 }
      #expect(isAborted)
      channel.close()
      await server.drain(within: .seconds(5))
      http.close()
    }
  }

  @Test("A send that has begun goes on without its caller, once, and is recorded")
  func committedSend() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .held }
      let call = harness.reactor.spawn { _ = try await harness.send() }
      try await harness.gmail.nextHeld()
      call.cancel()
      _ = await call.result
      #expect(try harness.value("SELECT string_agg(status, ' ') FROM email_logs") == "sending")
      #expect(harness.gmail.hangUps == 0)
      harness.gmail.release()
      let isRecorded = try await harness.eventually {
        try harness.value("SELECT string_agg(status, ' ') FROM email_logs") == "success"
      }
      #expect(isRecorded)
      #expect((harness.gmail.requests.count, harness.gmail.hangUps) == (1, 0))
    }
  }
}

private enum Fetch {
  static let method = UnaryMethod<HealthCheckRequest, HealthCheckResponse>("test.Fetch", "Fetch")
}
