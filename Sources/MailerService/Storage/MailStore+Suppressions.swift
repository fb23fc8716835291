import CivilTime
import MailSyntax
import PostgresClient
import ServiceContracts
import WireCodec

/// The suppression list. Each change that a platform makes leaves an audit event; a recipient's own click is its row.
extension MailStore {
  /// Those of `addresses` that are suppressed.
  func suppressed(_ addresses: [String], tenantID: String) async throws -> Set<String> {
    let rows = try await pool.query(
      "SELECT emailmcp.suppressed_of($1, $2)", [.text(tenantID), .textArray(addresses)], tenant: tenantID)
    return Set(try rows.map { try $0.column(0, as: String.self) })
  }

  /// Puts an entry on the list. One that is there already stays as it is.
  func suppress(
    _ entry: SuppressionEntry, tenantID: String, reason: SuppressionNote?, source: Mailer.SuppressionSource,
    actor: String?
  ) async throws -> (row: Mailer.Suppression, isNew: Bool) {
    let rows = try await pool.query(
      """
      WITH added AS (
        INSERT INTO suppressions (tenant_id, entry, reason, source) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING entry, reason, source, created_at
      ), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, target)
        SELECT $1, $5, 'suppression.added', entry FROM added WHERE $5::text IS NOT NULL
      )
      SELECT entry, reason, source, created_at, true FROM added
      UNION ALL
      SELECT entry, reason, source, created_at, false FROM suppressions WHERE tenant_id = $1 AND entry = $2
      """,
      [.text(tenantID), .text(entry.text), .text(reason?.text), .text(source.word), .text(actor)], tenant: tenantID)
    // Added by another transaction meanwhile: neither half sees a row.
    guard let row = rows.first else { return (Mailer.Suppression { $0.entry = entry.text }, false) }
    return (try Self.suppression(row), try row[4])
  }

  func removeSuppression(_ entry: SuppressionEntry, tenantID: String, actor: String) async throws -> Bool {
    let rows = try await pool.query(
      """
      WITH removed AS (
        DELETE FROM suppressions WHERE tenant_id = $1 AND entry = $2 RETURNING entry
      ), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, target)
        SELECT $1, $3, 'suppression.removed', entry FROM removed
      )
      SELECT entry FROM removed
      """, [.text(tenantID), .text(entry.text), .text(actor)], tenant: tenantID)
    return !rows.isEmpty
  }

  /// By entry, from the first after `entry`; one row more than `limit` when there are more.
  func suppressions(tenantID: String, after entry: String, limit: Int) async throws -> [Mailer.Suppression] {
    try await pool.query(
      """
      SELECT entry, reason, source, created_at FROM suppressions WHERE tenant_id = $1 AND entry > $2
      ORDER BY entry LIMIT $3
      """, [.text(tenantID), .text(entry), .int(limit + 1)], tenant: tenantID
    ).map(Self.suppression)
  }

  private static func suppression(_ row: PostgresRow) throws -> Mailer.Suppression {
    var result = Mailer.Suppression()
    result.entry = try row[0]
    result.reason = try row.column(1, as: String?.self) ?? ""
    result.source = try Mailer.SuppressionSource(word: row.column(2, as: String.self)) ?? .unspecified
    result.createdAt = ProtobufTimestamp(try row.column(3, as: Timestamp.self))
    return result
  }
}
