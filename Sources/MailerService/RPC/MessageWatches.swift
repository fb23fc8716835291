import CivilTime
import EventLoop
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
    var ids: [UniqueID] = []
    for text in request.ids { if let id = UniqueID(text) { ids.append(id) } }
    let filter = MailStore.ChangeFilter(
      tenantID: call.tenantID, userID: call.userID.isEmpty ? nil : call.userID,
      ids: request.ids.isEmpty ? nil : ids)
    var seen: [UniqueID: Seen] = [:]
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
