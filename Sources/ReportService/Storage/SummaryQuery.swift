import WireCodec
import CivilTime
import PostgresClient
import ServiceContracts

/// The statements of a tenant's report, and their results read.
struct SummaryQuery {
  let tenant: String
  let range: ReportRange

  private static let users: Statement = """
    SELECT count(DISTINCT user_id) FROM user_email_accounts WHERE tenant_id = $1 COLLATE "C" AND status = 'active'
    """

  /// All successes ever, and today's: what is folded and what is not yet, in one snapshot.
  private static let totals: Statement = """
    SELECT
      (coalesce((SELECT success FROM platform_totals WHERE tenant_id = $1 COLLATE "C"), 0)
        + coalesce((SELECT sum(success) FROM platform_total_deltas WHERE tenant_id = $1 COLLATE "C"), 0))::bigint,
      (coalesce((SELECT sum(success) FROM platform_totals_15m
          WHERE tenant_id = $1 COLLATE "C" AND bucket >= $2 AND bucket < $3), 0)
        + coalesce((SELECT sum(success) FROM platform_total_deltas
          WHERE tenant_id = $1 COLLATE "C" AND bucket >= $2 AND bucket < $3), 0))::bigint
    """

  /// Days with their outcomes and active users, and the top senders, from whole quarters of an hour of the roll-up.
  private static let usage = Statement(composed: usage(counted: counted))

  /// The same where the range ends inside a quarter of an hour.
  private static let usageWithEnds = Statement(composed: usage(counted: counted + ends))

  private static let counted = """
    SELECT (bucket AT TIME ZONE $4::text)::date AS day, user_id, success, failed, unknown
    FROM email_stats_15m WHERE tenant_id = $1 COLLATE "C" AND bucket >= $2 AND bucket < $3
    """

  /// The pieces of a quarter of an hour at both ends. The roll-up names the users whose log is to be read: a tenant's log
  /// by time has no index.
  private static let ends = """

    UNION ALL
    SELECT (l.sent_at AT TIME ZONE $4::text)::date, l.user_id, (l.status = 'success')::integer,
      (l.status = 'failed')::integer, (l.status = 'unknown')::integer
    FROM (
      SELECT DISTINCT s.user_id FROM unnest($5::timestamptz[]) AS b CROSS JOIN LATERAL (
        SELECT user_id FROM email_stats_15m WHERE tenant_id = $1 COLLATE "C" AND bucket = b OFFSET 0
      ) AS s
    ) AS active
    CROSS JOIN LATERAL (
      SELECT user_id, sent_at, status FROM email_logs
      WHERE tenant_id = $1 COLLATE "C" AND user_id = active.user_id AND sent_at >= $6 AND sent_at < $7
      UNION ALL
      SELECT user_id, sent_at, status FROM email_logs
      WHERE tenant_id = $1 COLLATE "C" AND user_id = active.user_id AND sent_at >= $8 AND sent_at < $9
    ) AS l
    """

  private static func usage(counted: String) -> String {
    """
    WITH day_user AS MATERIALIZED (
      SELECT day, user_id, sum(success)::bigint AS success, sum(failed)::bigint AS failed, sum(unknown)::bigint AS unknown
      FROM (\(counted)) AS counted GROUP BY day, user_id
    ), senders AS (
      SELECT user_id, sum(success)::bigint AS success FROM day_user GROUP BY user_id HAVING sum(success) > 0
      ORDER BY 2 DESC, user_id COLLATE "C" LIMIT 10
    )
    SELECT * FROM (
      SELECT day, NULL::text AS user_id, sum(success)::bigint AS success, sum(failed)::bigint AS failed,
        sum(unknown)::bigint AS unknown, count(*) AS active, NULL::text AS email
      FROM day_user WHERE success + failed + unknown > 0 GROUP BY day
      UNION ALL
      SELECT NULL, s.user_id, s.success, 0, 0, 0, (
        SELECT a.email_address FROM user_email_accounts AS a
        WHERE a.tenant_id = $1 COLLATE "C" AND a.user_id = s.user_id AND a.status <> 'disconnected'
        ORDER BY a.connected_at DESC LIMIT 1)
      FROM senders AS s
    ) AS report
    ORDER BY day NULLS LAST, success DESC, user_id COLLATE "C"
    """
  }

  var statements: [(Statement, [PostgresValue])] {
    let tenant = PostgresValue.text(tenant)
    let quarters = range.interval.split(by: InstantRange.quarterHour)
    let whole = [
      tenant, .timestamp(quarters.whole.start), .timestamp(quarters.whole.end), PostgresValue.text(range.zone),
    ]
    var usage = (Self.usage, whole)
    if !quarters.isExact {
      let pieces = [quarters.head, quarters.tail].filter { !$0.isEmpty }
      let buckets = Set(pieces.flatMap { $0.steps(of: InstantRange.quarterHour) })
      let bounds = [quarters.head, quarters.tail].flatMap { [PostgresValue.timestamp($0.start), .timestamp($0.end)] }
      usage = (Self.usageWithEnds, whole + [.timestampArray(buckets.sorted())] + bounds)
    }
    return [
      (Self.users, [tenant]),
      (Self.totals, [tenant, .timestamp(range.today.start), .timestamp(range.today.end)]),
      usage,
    ]
  }

  func response(_ results: [PostgresRows]) throws -> Reports.GetSummaryResponse {
    var response = Reports.GetSummaryResponse()
    response.range = range.message
    response.asOf = ProtobufTimestamp(range.asOf)
    response.totalUsers = try results[0].only()[0]
    let totals = try results[1].only()
    response.totalEmailsSent = try totals[0]
    response.emailsToday = try totals[1]
    var days: [CivilDate: (outcomes: Outcomes, active: Int64)] = [:]
    var total = Outcomes()
    for row in results[2] {
      if let user: String = try row[1] {
        response.topSenders.append(
          try Reports.SenderCount {
            $0.userID = user
            $0.count = try row[2]
            $0.emailAddress = try row[6]
          })
      } else {
        let outcomes = try Outcomes(success: row[2], failed: row[3], unknown: row[4])
        days[try row[0]] = (outcomes, try row[5])
        total.add(outcomes)
      }
    }
    response.successRate = total.successRate
    response.usageTrends = range.allDays.map { day in
      let (outcomes, active) = days[day] ?? (Outcomes(), 0)
      return Reports.UsageDay {
        $0.date = day.description
        $0.total = outcomes.total
        $0.successful = outcomes.success
        $0.failed = outcomes.failed
        $0.activeUsers = active
      }
    }
    return response
  }
}
