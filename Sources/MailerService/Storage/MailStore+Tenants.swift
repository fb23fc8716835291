import CivilTime
import PostgresClient

/// The queues of tenants that are disabled, or were.
extension MailStore {
  /// Mails that are held or released in one transaction.
  static let mostSettled: Int32 = 2000

  /// Holds what tenants have in the queue that are disabled, and releases what those have that are enabled again. What ends
  /// half-way goes on the next time, here or in another process.
  func settleTenants() async throws {
    let rows = try await pool.query("SELECT tenant_id, disabled_at FROM emailmcp.unsettled_tenants()")
    for row in rows {
      let tenant: String = try row[0]
      if let disabledAt: Timestamp = try row[1] {
        try await hold(tenant, disabledAt)
      } else {
        try await pool.repeatApart("SELECT emailmcp.release_mail($2, $1)", [.text(tenant)], limit: Self.mostSettled)
      }
    }
  }

  private func hold(_ tenant: String, _ disabledAt: Timestamp) async throws {
    var after: (user: String, id: UniqueID)? = ("", UniqueID(high: 0, low: 0))
    while let place = after {
      try Task.checkCancellation()
      let row = try await pool.queryApart(
        "SELECT last_user, last_id FROM emailmcp.hold_mail($1, $2, $3, $4, $5)",
        [.text(tenant), .timestamp(disabledAt), .text(place.user), .uuid(place.id), .int4(Self.mostSettled)]
      ).only()
      after = row.isNull(0) ? nil : (try row[0], try row[1])
    }
  }
}
