import CivilTime
import PostgresClient

/// The rows behind a user's report: the outcomes that it counts, then what it calls pending.
enum ExportQuery {
  static let rowsPerPiece = 500

  static let outcomes: Statement = """
    SELECT id, message_id, thread_id, status, error_code, from_email, ARRAY(SELECT jsonb_array_elements_text(to_emails)),
      subject, created_at, sent_at, attempts
    FROM email_logs
    WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND sent_at >= $3 AND sent_at < $4
    ORDER BY sent_at, id
    """

  static let pending: Statement = """
    SELECT id, message_id, thread_id, status, error_code, from_email, ARRAY(SELECT jsonb_array_elements_text(to_emails)),
      subject, created_at, sent_at, attempts
    FROM email_logs
    WHERE tenant_id = $1 COLLATE "C" AND user_id = $2 COLLATE "C" AND created_at >= $3 AND created_at < $4
      AND status IN ('queued', 'scheduled', 'sending')
    ORDER BY created_at, id
    """

  static func parameters(_ owner: Owner, _ range: ReportRange) -> [PostgresValue] {
    [
      .text(owner.tenant), .text(owner.user), .timestamp(range.interval.start), .timestamp(range.interval.end),
    ]
  }

  static func row(_ row: PostgresRow) throws -> ExportRow {
    let id: UniqueID = try row[0]
    return ExportRow(
      id: id.description, messageID: try row[1], threadID: try row[2], status: try row[3], errorCode: try row[4],
      fromEmail: try row[5], to: try row.column(6, as: PostgresArray<String>.self).values, subject: try row[7],
      createdAt: try row[8], sentAt: try row[9], attempts: try row[10])
  }
}
