import CivilTime
import EventLoop
import Logging
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import ReportService

/// The service behind a real socket, with a context that stands for what an edge has signed.
@Suite struct ReportMethodsTests {
  private struct Attach: ServerInterceptor {
    let context: CallContext?

    func intercept(_ call: ServerContext, _ next: () async throws -> Void) async throws {
      if let context { call.attach(context) }
      try await next()
    }
  }

  private static func context(scopes: [String] = ["reports", "reports:summary"]) -> CallContext {
    CallContext {
      $0.issuer = "edge"
      $0.tenantID = "acme"
      $0.userID = "user-1"
      $0.scopes = scopes
    }
  }

  private func serve(
    _ databaseURL: String, as context: CallContext? = Self.context(),
    _ body: @escaping @Sendable (RPCChannel) async throws -> Void
  ) async throws {
    let configuration = try PostgresConfiguration(url: databaseURL)
    try await onLoop { reactor in
      let pool = PostgresPool(configuration, reactor: reactor)
      let server = RPCServer(on: reactor)
      server.use(Attach(context: context))
      server.register(ReportMethods(store: ReportStore(pool: pool, exportPool: pool), logger: Logger(label: "test")))
      let address = try await server.listen(on: "127.0.0.1:0")
      let channel = RPCChannel(to: try ChannelTarget("ipv4:\(address)"), on: reactor)
      let result: Result<Void, any Error>
      do { result = .success(try await body(channel)) } catch { result = .failure(error) }
      channel.close()
      await server.drain(within: .seconds(1))
      await pool.close()
      try result.get()
    }
  }

  private func database() async throws -> TestDatabase {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    return database
  }

  private static func request(
    _ start: DateOrTime.Value?, _ end: DateOrTime.Value?, _ zone: String = ""
  ) -> Reports.GetUserReportRequest {
    Reports.GetUserReportRequest {
      $0.range = Reports.DateRange {
        $0.start = start.map { value in DateOrTime { $0.value = value } }
        $0.end = end.map { value in DateOrTime { $0.value = value } }
        $0.timeZone = zone
      }
    }
  }

  private static func refusal(_ body: () async throws -> Void) async throws -> RPCError {
    do {
      try await body()
    } catch {
      return try #require(error as? RPCError)
    }
    Issue.record("not refused")
    return RPCError(.ok, "")
  }

  @Test("a report without bounds is today and the 29 days before it")
  func defaultRange() async throws {
    try await serve(try await database().url()) { channel in
      let report = try await channel.call(Reports.getUserReport, .init())
      let today = try #require(report.asOf?.timestamp).date
      #expect(report.range?.start?.value == .date(today.adding(days: -29).description))
      #expect(report.range?.end?.value == .date(today.description))
      #expect(report.range?.timeZone == "UTC")
      #expect(report.emailsByDay.map(\.date) == (-29...0).map { today.adding(days: $0).description })
      #expect(report.successRate == nil)
      let summary = try await channel.call(Reports.getSummary, .init())
      #expect(summary.usageTrends.map(\.date) == report.emailsByDay.map(\.date))
    }
  }

  @Test("an end alone has the 29 days before it, a start alone goes up to today")
  func halfOpenRanges() async throws {
    try await serve(try await database().url()) { channel in
      let ended = try await channel.call(Reports.getUserReport, Self.request(nil, .date("2026-03-31"), "Europe/Berlin"))
      #expect(ended.range?.start?.value == .date("2026-03-02"))
      #expect(ended.emailsByDay.count == 30)
      let today = try #require(ended.asOf?.timestamp).date
      let started = try await channel.call(
        Reports.getUserReport, Self.request(.date(today.adding(days: -3).description), nil))
      #expect(started.emailsByDay.count == 4)
    }
  }

  @Test("400 days are taken, 401 are too many")
  func longestRange() async throws {
    try await serve(try await database().url()) { channel in
      for zone in ["UTC", "America/New_York"] {
        let report = try await channel.call(
          Reports.getUserReport, Self.request(.date("2025-01-01"), .date("2026-02-04"), zone))
        #expect(report.emailsByDay.count == 400)
        let error = try await Self.refusal {
          _ = try await channel.call(
            Reports.getUserReport, Self.request(.date("2025-01-01"), .date("2026-02-05"), zone))
        }
        #expect(error.code == .invalidArgument)
        #expect(error.errorInfo?.reason == "range_too_large")
      }
    }
  }

  @Test("an end before the start is refused, an empty interval has no days")
  func emptyAndReversed() async throws {
    try await serve(try await database().url()) { channel in
      let error = try await Self.refusal {
        _ = try await channel.call(Reports.getUserReport, Self.request(.date("2026-02-05"), .date("2026-02-04")))
      }
      #expect(error.badRequest?.fieldViolations.map(\.field) == ["end_date"])
      let now = DateOrTime.Value.time(ProtobufTimestamp { $0.seconds = 1_770_000_000 })
      let report = try await channel.call(Reports.getUserReport, Self.request(now, now))
      #expect(report.emailsByDay.isEmpty)
      #expect(report.range?.start?.value == now)
    }
  }

  @Test(
    "what Postgres takes for a zone and IANA does not is refused",
    arguments: ["UTC+3", "PDT", "Europe/Atlantis", "posix/Europe/Berlin", "localtime"])
  func unknownZones(_ zone: String) async throws {
    try await serve(try await database().url()) { channel in
      let error = try await Self.refusal {
        _ = try await channel.call(Reports.getUserReport, Self.request(nil, nil, zone))
      }
      #expect(error.code == .invalidArgument)
      #expect(error.errorInfo?.reason == "invalid_time_zone")
    }
  }

  @Test("an export streams whole lines, CSV unless NDJSON is asked")
  func export() async throws {
    let (database, judge) = try await ReportDatabase.make()
    let range = InstantRange(Timestamp(rfc3339: "2026-01-01T00:00:00Z")!, Timestamp(rfc3339: "2026-12-31T00:00:00Z")!)
    let expected =
      judge.counted("user-1", range).count + judge.created("user-1", range).count(where: \.isPending)
    try await serve(database.url()) { channel in
      for (format, header) in [(Reports.ExportFormat.unspecified, 1), (.csv, 1), (.ndjson, 0)] {
        var text: [UInt8] = []
        let pieces = try channel.call(
          Reports.exportMessages,
          .init {
            $0.range = Self.request(.date("2026-01-01"), .date("2026-12-30")).range
            $0.format = format
          })
        for try await piece in pieces {
          #expect(piece.content.last == 0x0a)
          text += piece.content
        }
        #expect(text.count { $0 == 0x0a } == expected + header)
      }
    }
  }

  @Test("a call without context, or without the scope, is refused")
  func access() async throws {
    let url = try await database().url()
    try await serve(url, as: nil) { channel in
      let error = try await Self.refusal { _ = try await channel.call(Reports.getUserReport, .init()) }
      #expect(error.code == .unauthenticated)
      #expect(error.errorInfo?.reason == "invalid_context")
    }
    try await serve(url, as: Self.context(scopes: ["reports"])) { channel in
      let error = try await Self.refusal { _ = try await channel.call(Reports.getSummary, .init()) }
      #expect(error.code == .permissionDenied)
      #expect(error.errorInfo?.reason == "missing_scope")
      _ = try await channel.call(Reports.getUserReport, .init())
    }
  }

  @Test("without a database a report is unavailable, and worth another try")
  func databaseAway() async throws {
    try await serve("postgres://nobody@127.0.0.1:1/none") { channel in
      let error = try await Self.refusal { _ = try await channel.call(Reports.getUserReport, .init()) }
      #expect(error.code == .unavailable)
      #expect(error.errorInfo?.reason == "unavailable")
      #expect(error.retryInfo?.retryDelay == .seconds(1))
    }
  }
}
