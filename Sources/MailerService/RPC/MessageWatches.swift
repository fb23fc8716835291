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
    while true {
      try await reactor.sleep(for: Self.interval)
      let now = Timestamp.now()
      for row in try await store.changes(filter, since: since - Self.overlap, limit: Self.batch) {
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

  /// Mails that may have changed since then: those that are not final, those that became final, those cancelled.
  func changes(_ filter: ChangeFilter, since: Timestamp, limit: Int) async throws -> [MessageRow] {
    var parameters: [PostgresValue] = [.text(filter.tenantID)]
    var conditions = ["l.tenant_id = $1"]
    func add(_ condition: (String) -> String, _ value: PostgresValue) {
      parameters.append(value)
      conditions.append(condition("$\(parameters.count)"))
    }
    if let user = filter.userID { add({ "l.user_id = \($0)" }, .text(user)) }
    if let ids = filter.ids {
      add({ "l.id = ANY (\($0))" }, .uuidArray(ids.map { UniqueID($0) }))
      add({ "l.created_at = ANY (\($0))" }, .timestampArray(ids.map(\.time)))
    } else {
      add(
        { "(l.status IN ('queued', 'scheduled', 'sending') OR l.sent_at >= \($0) OR l.created_at >= \($0))" },
        .timestamp(since))
    }
    let sql = """
      SELECT \(MessageRow.columns) FROM email_logs l WHERE \(conditions.joined(separator: " AND "))
      ORDER BY coalesce(l.sent_at, l.created_at) DESC LIMIT \(limit)
      """
    return try await pool.query(Statement(composed: sql), parameters, tenant: filter.tenantID).map {
      try MessageRow($0)
    }
  }
}
