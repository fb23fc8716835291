import ArgumentParser
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

  func add(_ tenant: String, _ entry: String, reason: String?) throws {
    let entry = entry.lowercased()
    guard entry.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) else {
      throw ValidationError("an entry is ASCII; write an internationalised domain as xn--…")
    }
    // As recipients' addresses are compared: without quotes where none are needed. The table checks the domain.
    let local = entry.split(separator: "@", omittingEmptySubsequences: false).dropLast().joined(separator: "@")
    guard local.isEmpty || !local.contains(/["@\\]|^\.|\.\.|\.$/) else {
      throw ValidationError("\"\(entry)\" is no address that a recipient can have; write it without quotes")
    }
    try session.transaction(tenant: tenant) {
      try tenants.requireTenant(tenant)
      do {
        let added = try session.execute(
          """
          INSERT INTO suppressions (tenant_id, entry, reason, source) VALUES ($1, $2, $3, 'platform')
          ON CONFLICT DO NOTHING RETURNING entry
          """, [tenant, entry, reason])
        if !added.isEmpty { try tenants.audit(tenant, "suppression.added", target: entry) }
      } catch let error as PostgresError where error.code == .checkViolation {
        throw ValidationError("\"\(entry)\" is neither an address nor a domain, or the note is too long")
      }
    }
  }

  func remove(_ tenant: String, _ entry: String) throws {
    let entry = entry.lowercased()
    try session.transaction(tenant: tenant) {
      let removed = try session.execute(
        "DELETE FROM suppressions WHERE tenant_id = $1 AND entry = $2 RETURNING entry", [tenant, entry])
      guard !removed.isEmpty else { throw ValidationError("\"\(entry)\" is not on the list of \(tenant)") }
      try tenants.audit(tenant, "suppression.removed", target: entry)
    }
  }

  func forEach(_ tenant: String, _ body: (Row) -> Void) throws {
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
