import CivilTime
import PostgresClient

/// What callers are told of who watch mails.
extension MailStore {
  struct ChangeFilter {
    var tenantID: String
    var userID: String?
    var ids: [UniqueID]?
  }

  struct Change {
    var row: MessageRow
    /// When it became final; nil: it is pending, or asked for by its id.
    var at: Timestamp?
  }

  /// How far outcomes and cancellations have been read, by their times and ids.
  struct ChangePlace: Sendable, Equatable {
    struct Mark: Sendable, Equatable {
      var at: Timestamp
      var id = UniqueID(high: 0, low: 0)
    }

    var outcome: Mark
    var cancellation: Mark

    init(at time: Timestamp) {
      outcome = Mark(at: time)
      cancellation = Mark(at: time)
    }
  }

  /// Mails that may have changed after `place`: those that became final, those cancelled, in that order, and with `pending`
  /// the newest that are not final. Each kind is found by an index of its own, so that a look costs what has changed and what
  /// is pending, however long the log is. Behind a row's columns: its kind's number, and when it became final.
  static func changes(
    _ filter: ChangeFilter, after place: ChangePlace, pending: Bool, limit: Int
  ) -> (sql: String, parameters: [PostgresValue]) {
    var parameters: [PostgresValue] = []
    func parameter(_ value: PostgresValue) -> String {
      parameters.append(value)
      return "$\(parameters.count)"
    }
    let ofTenant = "l.tenant_id = \(parameter(.text(filter.tenantID)))"
    var conditions: [String] = []
    if let user = filter.userID { conditions.append("l.user_id = \(parameter(.text(user)))") }
    var kinds: [String] = []
    func add(_ end: String, _ tenant: String, _ condition: String, _ order: String) {
      kinds.append(
        """
        (SELECT \(MessageRow.columns), \(end) FROM email_logs l
        WHERE \(([tenant, condition] + conditions).joined(separator: " AND ")) ORDER BY \(order) LIMIT \(limit))
        """)
    }
    func after(_ column: String, _ mark: ChangePlace.Mark) -> String {
      let (at, id) = (parameter(.timestamp(mark.at)), parameter(.uuid(mark.id)))
      // The row comparison alone is no access path to an index by blocks.
      return "l.\(column) >= \(at) AND (l.\(column), l.id) > (\(at), \(id))"
    }
    if let ids = filter.ids {
      conditions.append("l.id = ANY (\(parameter(.uuidArray(ids))))")
      conditions.append("l.created_at = ANY (\(parameter(.timestampArray(ids.map(\.time)))))")
      add("0, NULL::timestamptz", ofTenant, "true", "l.created_at DESC")
    } else {
      // Of all users' outcomes the newest stand together; by an index that begins with the tenant they would be looked for
      // among all of the tenant's. Under another name of its collation a column is judged and not looked for.
      let judged = filter.userID == nil ? "l.tenant_id COLLATE \"POSIX\" = $1" : ofTenant
      if pending {
        add("0, NULL::timestamptz", ofTenant, "l.status IN ('queued', 'scheduled', 'sending')", "l.created_at DESC")
      }
      add("1, l.sent_at", judged, after("sent_at", place.outcome), "l.sent_at, l.id")
      add("2, l.cancelled_at", ofTenant, after("cancelled_at", place.cancellation), "l.cancelled_at, l.id")
    }
    return (kinds.joined(separator: " UNION ALL "), parameters)
  }

  /// - Returns: the changes, and where to go on when there may be more of them.
  func changes(
    _ filter: ChangeFilter, after place: ChangePlace, pending: Bool, limit: Int
  ) async throws -> (changes: [Change], next: ChangePlace?) {
    let (sql, parameters) = Self.changes(filter, after: place, pending: pending, limit: limit)
    let rows = try await searches.queryApart(Statement(composed: sql), parameters, tenant: filter.tenantID)
    var next = place
    var counts = [0, 0, 0]
    let changes = try rows.map { row in
      let change = Change(row: try MessageRow(row), at: try row[MessageRow.columnCount + 1])
      let kind: Int = try row[MessageRow.columnCount]
      counts[kind] += 1
      let mark = change.at.map { ChangePlace.Mark(at: $0, id: change.row.id) }
      if let mark, kind == 1 { next.outcome = mark }
      if let mark, kind == 2 { next.cancellation = mark }
      return change
    }
    return (changes, counts.dropFirst().contains(limit) ? next : nil)
  }
}
