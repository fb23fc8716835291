import WireCodec
import CivilTime
import PostgresClient
import ServiceContracts

/// The statements of a user's report, and their results read.
struct UserReportQuery {
  let owner: Owner
  let range: ReportRange

  /// Outcomes by day: whole quarters of an hour from the roll-up.
  private static let stats: Statement = """
    SELECT (bucket AT TIME ZONE $5::text)::date, sum(success)::bigint, sum(failed)::bigint, sum(unknown)::bigint
    FROM email_stats_15m
    WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND bucket >= $3 AND bucket < $4
    GROUP BY 1
    """

  /// Outcomes by day: the pieces of a quarter of an hour at both ends, from the log itself.
  private static let rawOutcomes: Statement = """
    SELECT (sent_at AT TIME ZONE $7::text)::date, count(*) FILTER (WHERE status = 'success'),
      count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM (
      SELECT sent_at, status FROM email_logs
      WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND sent_at >= $3 AND sent_at < $4
      UNION ALL
      SELECT sent_at, status FROM email_logs
      WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND sent_at >= $5 AND sent_at < $6
    ) AS ends
    GROUP BY 1
    """

  private static let pending: Statement = """
    SELECT count(*) FROM email_logs
    WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND created_at >= $3 AND created_at < $4
      AND status IN ('queued', 'scheduled', 'sending')
    """

  private static let recent: Statement = """
    SELECT id, message_id, thread_id, from_email, ARRAY(SELECT jsonb_array_elements_text(to_emails)),
      ARRAY(SELECT jsonb_array_elements_text(cc_emails)), ARRAY(SELECT jsonb_array_elements_text(bcc_emails)), subject,
      status, error_code, error_message, created_at, sent_at, send_at, attempts, provider,
      ARRAY(SELECT key FROM jsonb_each_text(metadata) ORDER BY key),
      ARRAY(SELECT value FROM jsonb_each_text(metadata) ORDER BY key)
    FROM email_logs
    WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND created_at >= $3 AND created_at < $4
    ORDER BY created_at DESC, id DESC
    LIMIT 10
    """

  /// Whole UTC days from the roll-up, the pieces of a day at both ends from the log itself. A mail counts once for an
  /// address, however often it names it. Addresses are ASCII.
  private static let recipients: Statement = """
    SELECT email, sum(n)::bigint FROM (
      SELECT email, success AS n FROM email_recipients_day
      WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND day >= $3 AND day < $4
      UNION ALL
      SELECT address COLLATE "C", 1 FROM (
        SELECT to_emails || cc_emails || bcc_emails AS named FROM email_logs
        WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND sent_at >= $5 AND sent_at < $6
          AND status = 'success'
        UNION ALL
        SELECT to_emails || cc_emails || bcc_emails FROM email_logs
        WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND sent_at >= $7 AND sent_at < $8
          AND status = 'success'
      ) AS ends, LATERAL (
        SELECT DISTINCT lower(a COLLATE "C") AS address FROM jsonb_array_elements_text(named) AS a
      ) AS addresses
    ) AS counted
    GROUP BY email
    HAVING sum(n) > 0
    ORDER BY 2 DESC, email
    LIMIT 10
    """

  var statements: [(Statement, [PostgresValue])] {
    let (user, interval) = ([PostgresValue.text(owner.tenant), .text(owner.user)], range.interval)
    let quarters = interval.split(by: InstantRange.quarterHour)
    let days = interval.split(by: InstantRange.day)
    var statements: [(Statement, [PostgresValue])] = [
      (Self.stats, user + bounds(quarters.whole) + [.text(range.zone)]),
      (Self.pending, user + bounds(interval)),
      (Self.recent, user + bounds(interval)),
      (
        Self.recipients,
        user + [.date(days.whole.start.date), .date(days.whole.end.date)] + bounds(days.head) + bounds(days.tail)
      ),
    ]
    if !quarters.isExact {
      statements.append((Self.rawOutcomes, user + bounds(quarters.head) + bounds(quarters.tail) + [.text(range.zone)]))
    }
    return statements
  }

  private func bounds(_ interval: InstantRange) -> [PostgresValue] {
    [.timestamp(interval.start), .timestamp(interval.end)]
  }

  func response(_ results: [PostgresRows]) throws -> Reports.GetUserReportResponse {
    var days: [CivilDate: Outcomes] = [:]
    for rows in [results[0]] + results.dropFirst(4) {
      for row in rows {
        let day: CivilDate = try row[0]
        days[day, default: Outcomes()].add(try Outcomes(success: row[1], failed: row[2], unknown: row[3]))
      }
    }
    var total = Outcomes()
    for outcomes in days.values { total.add(outcomes) }
    var response = Reports.GetUserReportResponse()
    response.userID = owner.user
    response.range = range.message
    response.asOf = ProtobufTimestamp(range.asOf)
    response.totalEmails = total.total
    response.successfulEmails = total.success
    response.failedEmails = total.failed
    response.unknownEmails = total.unknown
    response.pendingEmails = try results[1].only()[0]
    response.successRate = total.successRate
    response.emailsByDay = range.allDays.map { day in
      let outcomes = days[day] ?? Outcomes()
      return Reports.DayCount {
        $0.date = day.description
        $0.total = outcomes.total
        $0.successful = outcomes.success
        $0.failed = outcomes.failed
      }
    }
    response.recentEmails = try results[2].map { try LoggedMessage.record($0) }
    response.topRecipients = try results[3].map { row in
      try Reports.RecipientCount {
        $0.email = try row[0]
        $0.count = try row[1]
      }
    }
    return response
  }
}
