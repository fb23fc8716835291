import CivilTime
import Foundation
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import ReportService

/// Reports against the raw rows, at random ranges in zones with days of every length.
@Suite struct ExactnessTests {
  /// 10,000 in full; `EMAILMCP_REPORT_CHECKS` says how many.
  static let checks = ProcessInfo.processInfo.environment["EMAILMCP_REPORT_CHECKS"].flatMap { Int($0) } ?? 150

  static let zones = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Atlantic/Azores",
    "America/Havana", "Africa/Cairo", "Asia/Beirut", "America/Santiago", "Pacific/Apia", "Pacific/Kiritimati",
    "America/St_Johns", "Asia/Kolkata", "Pacific/Chatham", "Pacific/Pago_Pago",
  ].map { Zone($0) }

  @Test("every figure of a user's report equals what the raw rows say")
  func userReports() async throws {
    let (database, judge) = try await ReportDatabase.make()
    try await database.withPool { pool in
      let store = ReportStore(pool: pool, exportPool: pool)
      var random = SeededRandom(seed: 7)
      for _ in 0..<Self.checks {
        let (asked, range, zone) = RandomRange.make(&random, Self.zones)
        let user = ReportDatabase.users.randomElement(using: &random)!
        let owner = Owner(tenant: ReportDatabase.tenant, user: user)
        let report = try await store.userReport(owner, asked)
        check(report, user, range, zone, judge, "\(user) \(asked)")
      }
    }
  }

  private func check(
    _ report: Reports.GetUserReportResponse, _ user: String, _ range: InstantRange, _ zone: Zone, _ judge: Judge,
    _ where: String
  ) {
    let rows = judge.counted(user, range)
    let count = { (status: String) in Int64(rows.count { $0.status == status }) }
    let comment = Comment(rawValue: `where`)
    #expect(report.totalEmails == Int64(rows.count), comment)
    #expect(report.successfulEmails == count("success"), comment)
    #expect(report.failedEmails == count("failed"), comment)
    #expect(report.unknownEmails == count("unknown"), comment)
    #expect(report.pendingEmails == Int64(judge.created(user, range).count(where: \.isPending)), comment)
    #expect(report.successRate == (rows.isEmpty ? nil : Double(count("success")) / Double(rows.count)), comment)
    let days = judge.days(rows, zone)
    let listed = report.emailsByDay.map { [$0.total, $0.successful, $0.failed] }
    #expect(report.emailsByDay.map(\.date) == dayNames(range, zone), comment)
    #expect(listed == report.emailsByDay.map { days[$0.date] ?? [0, 0, 0] }, comment)
    #expect(listed.reduce(0) { $0 + $1[0] } == Int64(rows.count), comment)
    let recipients = rows.filter { $0.status == "success" }.flatMap(\.recipients)
    #expect(report.topRecipients.map { "\($0.email) \($0.count)" } == judge.top(recipients), comment)
    let newest = judge.created(user, range).sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }.prefix(10)
    #expect(report.recentEmails.map(\.id) == newest.map(\.id), comment)
  }

  private func dayNames(_ range: InstantRange, _ zone: Zone) -> [String] {
    guard !range.isEmpty else { return [] }
    let first = zone.day(range.start).daysSinceEpoch
    return (first...zone.day(range.end - .microseconds(1)).daysSinceEpoch).map {
      CivilDate(daysSinceEpoch: $0).description
    }
  }

  @Test("every figure of the tenant's report equals what the raw rows say")
  func summaries() async throws {
    let (database, judge) = try await ReportDatabase.make()
    let ever = judge.rows.count { $0.status == "success" }
    try await database.withPool { pool in
      let store = ReportStore(pool: pool, exportPool: pool)
      var random = SeededRandom(seed: 8)
      for _ in 0..<Self.checks / 3 {
        let (asked, range, zone) = RandomRange.make(&random, Self.zones)
        let report = try await store.summary(ReportDatabase.tenant, asked)
        let rows = judge.counted(nil, range)
        let days = judge.days(rows, zone)
        let active = judge.activeUsers(rows, zone)
        let today = zone.day(try #require(report.asOf?.timestamp))
        let todays = judge.counted(nil, InstantRange(zone.start(of: today), zone.start(of: today.adding(days: 1))))
        let comment = Comment(rawValue: "\(asked)")
        #expect(report.emailsToday == Int64(todays.count { $0.status == "success" }), comment)
        #expect(report.totalUsers == 1, comment)
        #expect(report.totalEmailsSent == Int64(ever), comment)
        let successes = rows.filter { $0.status == "success" }
        #expect(report.successRate == (rows.isEmpty ? nil : Double(successes.count) / Double(rows.count)), comment)
        #expect(report.topSenders.map { "\($0.userID) \($0.count)" } == judge.top(successes.map(\.user)), comment)
        #expect(report.usageTrends.map(\.date) == dayNames(range, zone), comment)
        for day in report.usageTrends {
          #expect([day.total, day.successful, day.failed] == days[day.date] ?? [0, 0, 0], comment)
          #expect(day.activeUsers == Int64(active[day.date]?.count ?? 0), comment)
        }
      }
    }
  }

  @Test("an export has exactly the rows that the report counts")
  func exports() async throws {
    let (database, judge) = try await ReportDatabase.make()
    try await database.withPool { pool in
      let store = ReportStore(pool: pool, exportPool: pool)
      var random = SeededRandom(seed: 9)
      for _ in 0..<20 {
        let (asked, range, _) = RandomRange.make(&random, Self.zones)
        var exported: [ExportRow] = []
        try await store.export(Owner(tenant: ReportDatabase.tenant, user: "user-2"), asked) { exported += $0 }
        let outcomes = judge.counted("user-2", range).map(\.id)
        let pending = judge.created("user-2", range).filter(\.isPending).map(\.id)
        #expect(Set(exported.map(\.id)) == Set(outcomes + pending), "\(asked)")
        #expect(exported.count == outcomes.count + pending.count, "\(asked)")
        let times = exported.compactMap(\.sentAt)
        #expect(times == times.sorted())
      }
    }
  }
}

/// Ranges of every kind: days, instants on and off the grid of 15 minutes, empty ones.
enum RandomRange {
  static func make(_ random: inout SeededRandom, _ zones: [Zone]) -> (RequestedRange, InstantRange, Zone) {
    let zone = zones.randomElement(using: &random)!
    var asked = try! RequestedRange(zone: zone.name)
    let firstDay = CivilDate(year: 2026, month: 1, day: 1)!.adding(days: Int.random(in: 0..<330, using: &random))
    let length = [0, 0, 1, 2, 6, 30, 90, 365].randomElement(using: &random)!
    var range: InstantRange
    if Bool.random(using: &random) {
      let lastDay = firstDay.adding(days: length)
      asked.start = .date(firstDay)
      asked.end = .date(lastDay)
      range = InstantRange(zone.start(of: firstDay), zone.start(of: lastDay.adding(days: 1)))
    } else {
      let grid = [Int64(900_000_000), 60_000_000, 1].randomElement(using: &random)!
      let start = Timestamp(startOf: firstDay).microseconds + Int64.random(in: 0..<86_400_000_000, using: &random)
      let span = Bool.random(using: &random) ? Int64(length) * 86_400_000_000 : 0
      let end = start + span + Int64.random(in: 0..<7_200_000_000, using: &random)
      let low = Timestamp(microseconds: start / grid * grid)
      range = InstantRange(low, max(low, Timestamp(microseconds: end / grid * grid)))
      asked.start = .time(range.start)
      asked.end = .time(range.end)
    }
    return (asked, range, zone)
  }
}
