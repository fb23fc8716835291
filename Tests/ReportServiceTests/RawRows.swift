import CivilTime
import Foundation
import PostgresClient
import ServiceContracts
import TestSupport

@testable import ReportService

/// A mail as the log has it, and what can be said of many of them by looking at each: the judge of the reports. It knows
/// nothing of roll-ups, and takes its zones from Foundation instead of Postgres.
struct RawRow: Sendable {
  var user: String
  var id: String
  var status: String
  var createdAt: Timestamp
  var sentAt: Timestamp?
  var recipients: Set<String>

  var isPending: Bool { ["queued", "scheduled", "sending"].contains(status) }
}

struct Zone: Sendable {
  let name: String
  private let zone: TimeZone

  init(_ name: String) {
    self.name = name
    zone = TimeZone(identifier: name)!
  }

  func day(_ time: Timestamp) -> CivilDate {
    let offset = zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time.seconds)))
    return (time + .seconds(offset)).date
  }

  /// The first instant that a clock there shows with this date, on a grid of a minute.
  func start(of day: CivilDate) -> Timestamp {
    var low = Timestamp(startOf: day) - .seconds(16 * 3600)
    var step = 8 * 3600
    while step >= 60 {
      while self.day(low + .seconds(step)) < day { low = low + .seconds(step) }
      // Where clocks go back at midnight a day begins, ends and begins again; the coarse steps must not skip that.
      step = step > 3600 ? 900 : step / 15
    }
    return low + .seconds(60)
  }
}

struct Judge: Sendable {
  let rows: [RawRow]

  func counted(_ user: String?, _ range: InstantRange) -> [RawRow] {
    rows.filter { row in
      guard user == nil || row.user == user, let sentAt = row.sentAt else { return false }
      return range.start <= sentAt && sentAt < range.end
    }
  }

  func created(_ user: String, _ range: InstantRange) -> [RawRow] {
    rows.filter { $0.user == user && range.start <= $0.createdAt && $0.createdAt < range.end }
  }

  /// `total successful failed` by day.
  func days(_ rows: [RawRow], _ zone: Zone) -> [String: [Int64]] {
    var days: [String: [Int64]] = [:]
    for row in rows {
      var counts = days[zone.day(row.sentAt!).description] ?? [0, 0, 0]
      counts[0] += 1
      if row.status == "success" { counts[1] += 1 }
      if row.status == "failed" { counts[2] += 1 }
      days[zone.day(row.sentAt!).description] = counts
    }
    return days
  }

  /// Users with an outcome, by day.
  func activeUsers(_ rows: [RawRow], _ zone: Zone) -> [String: Set<String>] {
    Dictionary(grouping: rows) { zone.day($0.sentAt!).description }.mapValues { Set($0.map(\.user)) }
  }

  /// Keys by how often they come, most first, then by their bytes; at most ten.
  func top(_ keys: some Sequence<String>) -> [String] {
    var counts: [String: Int] = [:]
    for key in keys { counts[key, default: 0] += 1 }
    return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(10).map { "\($0.key) \($0.value)" }
  }
}

/// A database with thousands of mails around days that are not 24 hours long, with the roll-ups of all and the tenant's
/// totals folded in part.
enum ReportDatabase {
  static let tenant = "acme"
  static let users = ["user-1", "user-2", "user-3"]

  static func make() async throws -> (TestDatabase, Judge) {
    let database = try await PostgresFixture.database()
    for tenant in [tenant, "other"] { try database.createTenant(tenant) }
    try database.execute(rawRows)
    try database.execute(rollUps)
    return (database, Judge(rows: try read(database)))
  }

  private static let rawRows = """
    SELECT setseed(0.42);
    WITH anchors AS (
      SELECT array_agg(a::timestamptz) AS list FROM unnest(ARRAY[
        '2026-03-08T07:00Z', '2026-11-01T06:00Z', '2026-03-29T01:00Z', '2026-10-25T01:00Z', '2026-10-25T00:00Z',
        '2026-10-03T15:30Z', '2026-04-04T15:00Z', '2026-04-23T22:00Z', '2026-10-29T21:00Z', '2026-03-28T22:00Z',
        '2026-10-24T21:00Z', '2026-09-06T04:00Z', '2026-04-05T03:00Z', '2026-11-01T05:00Z', '2026-06-15T00:00Z',
        '2026-06-14T18:15Z', '2026-06-14T10:00Z', '2026-06-15T12:00Z']) AS a
    ), dice AS (
      SELECT n, random() AS d1, random() AS d2, random() AS d3, random() AS d4, random() AS d5, random() AS d6,
        random() AS d7
      FROM generate_series(1, 6000) AS n
    ), timed AS (
      SELECT dice.*, date_bin(CASE WHEN d6 < 0.2 THEN interval '15 minutes' ELSE interval '1 microsecond' END,
        CASE WHEN d1 < 0.05 THEN now() - d3 * interval '60 hours'
          WHEN d1 < 0.5
          THEN list[1 + floor(d2 * cardinality(list))::integer] + (d3 - 0.5) * interval '6 hours'
          ELSE '2026-01-01T00:00Z'::timestamptz + d2 * interval '340 days' END, 'epoch') AS moment,
        CASE WHEN d4 < 0.60 THEN 'success' WHEN d4 < 0.75 THEN 'failed' WHEN d4 < 0.85 THEN 'unknown'
          WHEN d4 < 0.89 THEN 'queued' WHEN d4 < 0.92 THEN 'scheduled' WHEN d4 < 0.95 THEN 'sending'
          ELSE 'cancelled' END AS status
      FROM dice, anchors
    )
    INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, to_emails, cc_emails, bcc_emails, subject,
      status, sent_at, error_code, attempts, metadata)
    SELECT CASE WHEN d7 < 0.1 THEN 'other' ELSE 'acme' END, 'user-' || (1 + floor(d5 * 3)),
      moment - d3 * interval '5 hours', gen_random_uuid(), 'me@example.com',
      jsonb_build_array('A' || floor(d2 * 30) || '@example.com', 'a' || floor(d3 * 30) || '@Example.com'),
      CASE WHEN d3 < 0.3 THEN jsonb_build_array('c' || floor(d5 * 9) || '@example.com') ELSE '[]' END,
      CASE WHEN d3 > 0.8 THEN jsonb_build_array('a' || floor(d2 * 30) || '@example.com') ELSE '[]' END,
      'Mail ' || n, status, CASE WHEN status IN ('success', 'failed', 'unknown') THEN moment END,
      CASE WHEN status = 'failed' THEN 'gmail_rejected' END, 1, jsonb_build_object('n', n::text)
    FROM timed;
    INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
    VALUES ('acme', 'user-1', 'one@example.com', 's1', 'active'),
      ('acme', 'user-2', 'two@example.com', 's2', 'disconnected'),
      ('acme', 'user-3', 'three@example.com', 's3', 'reauth_required'), ('other', 'user-1', 'o@example.com', 's4', 'active');
    """

  private static let rollUps = """
    INSERT INTO email_stats_15m
    SELECT tenant_id, user_id, date_bin('15 minutes', sent_at, 'epoch'), count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM email_logs WHERE sent_at IS NOT NULL GROUP BY 1, 2, 3;
    INSERT INTO email_recipients_day
    SELECT tenant_id, user_id, (sent_at AT TIME ZONE 'UTC')::date, address, count(*)
    FROM email_logs, LATERAL (SELECT DISTINCT lower(a) AS address
      FROM jsonb_array_elements_text(to_emails || cc_emails || bcc_emails) AS a) AS addresses
    WHERE status = 'success' GROUP BY 1, 2, 3, 4;
    INSERT INTO platform_total_deltas (tenant_id, bucket, success, failed, unknown)
    SELECT tenant_id, date_bin('15 minutes', sent_at, 'epoch'), (status = 'success')::integer,
      (status = 'failed')::integer, (status = 'unknown')::integer
    FROM email_logs WHERE sent_at IS NOT NULL;
    SELECT emailmcp.fold_totals(2000);
    ANALYZE;
    """

  private static func read(_ database: TestDatabase) throws -> [RawRow] {
    let rows = try database.execute(
      """
      SELECT user_id, id, status, (extract(epoch FROM created_at) * 1000000)::bigint,
        (extract(epoch FROM sent_at) * 1000000)::bigint, to_emails || cc_emails || bcc_emails
      FROM email_logs WHERE tenant_id = 'acme'
      """)
    return try rows.map { row in
      let addresses = try JSONDecoder().decode([String].self, from: Data(row[5]!.utf8))
      return RawRow(
        user: row[0]!, id: row[1]!, status: row[2]!, createdAt: Timestamp(microseconds: Int64(row[3]!)!),
        sentAt: row[4].map { Timestamp(microseconds: Int64($0)!) },
        recipients: Set(addresses.map { $0.lowercased() }))
    }
  }
}
