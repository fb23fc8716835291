import ArgumentParser
import MailSyntax
import PostgresClient

/// A tenant's suppression list, as the owner of the database administers it.
struct Suppressions {
  private let session: BlockingSession
  private let tenants: Tenants
  /// Rows read at once: a list may be longer than memory should hold.
  private static let page = 1000

  init(url: String) throws {
    session = try BlockingSession(url: url)
    tenants = Tenants(session)
  }

  struct Row {
    let entry, source, createdAt: String
    let reason: String?
  }

  func add(_ tenant: String, _ text: String, reason: String = "") throws {
    let entry: SuppressionEntry
    do throws(AddressError) {
      entry = try SuppressionEntry(toSuppress: text)
    } catch {
      throw ValidationError(error.description)
    }
    guard let note = SuppressionNote(reason) else { throw ValidationError(SuppressionNote.rule) }
    try session.transaction(tenant: tenant) {
      try tenants.requireTenant(tenant)
      let added = try session.execute(
        """
        INSERT INTO suppressions (tenant_id, entry, reason, source) VALUES ($1, $2, $3, 'platform')
        ON CONFLICT DO NOTHING RETURNING entry
        """, [tenant, entry.text, note.text])
      if !added.isEmpty { try tenants.audit(tenant, "suppression.added", target: entry.text) }
    }
  }

  func remove(_ tenant: String, _ text: String) throws {
    // What is no entry may be listed all the same: former releases of this command put it there.
    let entry = (try? SuppressionEntry(text))?.text ?? text
    try session.transaction(tenant: tenant) {
      let removed = try session.execute(
        "DELETE FROM suppressions WHERE tenant_id = $1 AND entry = $2 RETURNING entry", [tenant, entry])
      guard !removed.isEmpty else { throw ValidationError("\"\(entry)\" is not on the list of \(tenant)") }
      try tenants.audit(tenant, "suppression.removed", target: entry)
    }
  }

  func forEach(_ tenant: String, _ body: (Row) -> Void) throws {
    try session.transaction(tenant: tenant) { try tenants.requireTenant(tenant) }
    var last = ""
    while true {
      let rows = try session.transaction(tenant: tenant) {
        try session.execute(
          """
          SELECT entry, source, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), reason
          FROM suppressions WHERE tenant_id = $1 AND entry > $2 ORDER BY entry LIMIT \(Self.page)
          """, [tenant, last])
      }
      for row in rows { body(Row(entry: row[0]!, source: row[1]!, createdAt: row[2]!, reason: row[3])) }
      guard rows.count == Self.page, let end = rows.last?[0] else { return }
      last = end
    }
  }
}
