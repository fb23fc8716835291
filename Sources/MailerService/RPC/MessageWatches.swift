import CivilTime
import EventLoop
import PostgresClient
import RPCRuntime
import ServiceContracts
import WireCodec

/// Tells callers of changes of status, by looking at what changed since the last look: it costs nothing while nobody
/// watches, and sees what any process commits.
final class MessageWatches {
  static let interval: Duration = .milliseconds(250)
  /// How much longer than itself a look rests: much pending mail makes looks rarer, not the database busier.
  static let sparingFactor = 10
  /// A transaction commits later than the times that it wrote.
  static let overlap: Duration = .seconds(20)
  static let mostIDs = 1000
  /// Rows of one statement.
  static let batch = 1000
  /// Statements of one look; what is left then is for the next.
  static let mostPages = 20

  private let reactor: Reactor
  private let store: MailStore

  init(reactor: Reactor, store: MailStore) {
    self.reactor = reactor
    self.store = store
  }

  func follow(
    _ request: Mailer.WatchMessagesRequest, _ writer: MessageWriter<Mailer.WatchMessagesResponse>, _ call: ServiceCall
  ) async throws {
    guard request.ids.count <= Self.mostIDs else {
      throw RPCError.invalidField("ids", "At most \(Self.mostIDs) messages can be watched by id.")
    }
    var ids: [UUIDv7] = []
    for text in request.ids { if let id = UUIDv7(text) { ids.append(id) } }
    let filter = MailStore.ChangeFilter(
      tenantID: call.tenantID, userID: call.userID.isEmpty ? nil : call.userID,
      ids: request.ids.isEmpty ? nil : ids)
    var seen: [UUIDv7: Seen] = [:]
    var began = Timestamp.now()
    var place = MailStore.ChangePlace(at: began - Self.overlap)
    var (isThrough, took) = try await look(filter, &place) { seen[$0.row.id] = Seen($0) }
    try await writer.write(Mailer.WatchMessagesResponse { $0.event = .started(.init()) })
    while true {
      try await reactor.sleep(for: max(Self.interval, took * Self.sparingFactor))
      if isThrough {
        let from = began - Self.overlap
        if seen.count > 4 * Self.batch { seen = seen.filter { $0.value.at.map { $0 >= from } ?? true } }
        (place, began) = (MailStore.ChangePlace(at: from), .now())
      }
      (isThrough, took) = try await look(filter, &place) { change in
        let (row, state) = (change.row, Seen(change))
        guard seen[row.id]?.isSameAs(state) != true else { return }
        seen[row.id] = state
        try await writer.write(
          Mailer.WatchMessagesResponse {
            $0.userID = row.userID
            $0.event = .message(row.record)
          })
      }
    }
  }

  /// Goes through what changed after `place`, and moves it on.
  ///
  /// - Returns: whether that was all, and how long the database took.
  private func look(
    _ filter: MailStore.ChangeFilter, _ place: inout MailStore.ChangePlace,
    _ body: (MailStore.Change) async throws -> Void
  ) async throws -> (isThrough: Bool, took: Duration) {
    var took: Duration = .zero
    for page in 1...Self.mostPages {
      let start = Instant.current()
      let (changes, next) = try await store.changes(filter, after: place, pending: page == 1, limit: Self.batch)
      took += Instant.current() - start
      for change in changes { try await body(change) }
      guard let next else { return (true, took) }
      place = next
    }
    return (false, took)
  }

  private struct Seen {
    var status: MessageStatus
    var attempts: Int32
    /// When it became final; nil: it is not, or it is watched by its id.
    var at: Timestamp?

    init(_ change: MailStore.Change) {
      status = change.row.record.status
      attempts = change.row.record.attempts
      at = change.at
    }

    func isSameAs(_ other: Seen) -> Bool { status == other.status && attempts == other.attempts }
  }
}

extension MailStore {
  struct ChangeFilter {
    var tenantID: String
    var userID: String?
    var ids: [UUIDv7]?
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
      var id = UUIDv7(high: 0, low: 0)
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
      let (at, id) = (parameter(.timestamp(mark.at)), parameter(.uuid(UniqueID(mark.id))))
      // The row comparison alone is no access path to an index by blocks.
      return "l.\(column) >= \(at) AND (l.\(column), l.id) > (\(at), \(id))"
    }
    if let ids = filter.ids {
      conditions.append("l.id = ANY (\(parameter(.uuidArray(ids.map { UniqueID($0) }))))")
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
