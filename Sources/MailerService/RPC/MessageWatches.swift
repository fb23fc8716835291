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
  /// Changes of one look; more are told at the next.
  static let batch = 1000

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
    var since = Timestamp.now()
    for row in try await store.changes(filter, since: since - Self.overlap, limit: Self.batch) {
      seen[row.id] = Seen(row)
    }
    try await writer.write(Mailer.WatchMessagesResponse { $0.event = .started(.init()) })
    var rest = Self.interval
    while true {
      try await reactor.sleep(for: rest)
      let (now, start) = (Timestamp.now(), Instant.current())
      let rows = try await store.changes(filter, since: since - Self.overlap, limit: Self.batch)
      rest = max(Self.interval, (Instant.current() - start) * Self.sparingFactor)
      for row in rows {
        let state = Seen(row)
        guard seen[row.id]?.isSameAs(state) != true else { continue }
        seen[row.id] = state
        try await writer.write(
          Mailer.WatchMessagesResponse {
            $0.userID = row.userID
            $0.event = .message(row.record)
          })
      }
      since = now
      if seen.count > 4 * Self.batch {
        seen = seen.filter { !$0.value.isFinal || $0.value.at > now - Self.overlap * 2 }
      }
    }
  }

  private struct Seen {
    var status: MessageStatus
    var attempts: Int32
    var isFinal: Bool
    var at: Timestamp

    init(_ row: MessageRow) {
      status = row.record.status
      attempts = row.record.attempts
      isFinal = row.isFinal
      at = row.record.sentAt?.timestamp ?? row.createdAt
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

  /// Mails that may have changed since then: those that are not final, those that became final, those cancelled. Each kind
  /// is found by an index of its own, so that a look costs what has changed and what is pending, however long the log is.
  static func changes(
    _ filter: ChangeFilter, since: Timestamp, limit: Int
  ) -> (sql: String, parameters: [PostgresValue]) {
    var parameters: [PostgresValue] = [.text(filter.tenantID)]
    var conditions: [String] = []
    func add(_ condition: (String) -> String, _ value: PostgresValue) {
      parameters.append(value)
      conditions.append(condition("$\(parameters.count)"))
    }
    if let user = filter.userID { add({ "l.user_id = \($0)" }, .text(user)) }
    if let ids = filter.ids {
      add({ "l.id = ANY (\($0))" }, .uuidArray(ids.map { UniqueID($0) }))
      add({ "l.created_at = ANY (\($0))" }, .timestampArray(ids.map(\.time)))
    }
    let ofTenant = "l.tenant_id = $1"
    var kinds = [(ofTenant, "true", "l.created_at")]
    if filter.ids == nil {
      parameters.append(.timestamp(since))
      let since = "$\(parameters.count)"
      // Of all users' outcomes the newest stand together; by an index that begins with the tenant they would be looked for
      // among all of the tenant's. Under another name of its collation a column is judged and not looked for.
      let judged = filter.userID == nil ? "l.tenant_id COLLATE \"POSIX\" = $1" : ofTenant
      kinds = [
        (ofTenant, "l.status IN ('queued', 'scheduled', 'sending')", "l.created_at"),
        (judged, "l.sent_at >= \(since)", "l.sent_at"), (ofTenant, "l.cancelled_at >= \(since)", "l.cancelled_at"),
      ]
    }
    let sql = kinds.map { tenant, kind, order in
      """
      (SELECT \(MessageRow.columns) FROM email_logs l WHERE \(([tenant, kind] + conditions).joined(separator: " AND "))
      ORDER BY \(order) DESC LIMIT \(limit))
      """
    }.joined(separator: " UNION ALL ")
    return (sql, parameters)
  }

  func changes(_ filter: ChangeFilter, since: Timestamp, limit: Int) async throws -> [MessageRow] {
    let (sql, parameters) = Self.changes(filter, since: since, limit: limit)
    return try await searches.queryApart(Statement(composed: sql), parameters, tenant: filter.tenantID).map {
      try MessageRow($0)
    }
  }
}
