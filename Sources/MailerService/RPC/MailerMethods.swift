import CivilTime
import EventLoop
import PostgresClient
import RPCRuntime
import ServiceContracts
import WireCodec

/// The mailer's methods, on one loop. Tenant and user come from the call's context and from nowhere else.
final class MailerMethods: Mailer.Service {
  /// Mails of one batch that are under way at the same time; more wait unread, which holds the sender back.
  static let batchInFlight = 32

  private let reactor: Reactor
  let store: MailStore
  private let sender: MessageSender
  private let watches: MessageWatches
  private let metrics: MailerMetrics
  let links: UnsubscribeLinks
  let webhooks: WebhookAdministration
  let project: ProjectAllowance.Terms

  init(
    reactor: Reactor, store: MailStore, sender: MessageSender, watches: MessageWatches, metrics: MailerMetrics,
    links: UnsubscribeLinks, webhooks: WebhookAdministration, project: ProjectAllowance.Terms
  ) {
    self.reactor = reactor
    self.store = store
    self.sender = sender
    self.watches = watches
    self.metrics = metrics
    self.links = links
    self.webhooks = webhooks
    self.project = project
  }

  func sendMessage(
    _ request: Mailer.SendMessageRequest, _ call: ServiceCall
  ) async throws -> Mailer.SendMessageResponse {
    try await answering { try await sender.send(request, call) }
  }

  func sendMessages(
    _ requests: MessageReader<Mailer.SendMessagesRequest>, _ writer: MessageWriter<Mailer.SendMessagesResponse>,
    _ call: ServiceCall
  ) async throws {
    let batch = Batch(limit: Self.batchInFlight, reactor: reactor)
    while let request = try await requests.next() {
      try await batch.room()
      batch.begin()
      reactor.spawn { [self] in
        let response = await answer(request, call)
        do {
          try await writer.write(response)
        } catch {
          // The caller is gone; the mail is kept all the same.
        }
        batch.end()
      }
    }
    try await batch.done()
  }

  private func answer(
    _ request: Mailer.SendMessagesRequest, _ call: ServiceCall
  ) async -> Mailer.SendMessagesResponse {
    var response = Mailer.SendMessagesResponse()
    response.reference = request.reference
    do {
      guard request.reference.utf8.count <= 255 else {
        throw RPCError.invalidField("reference", "A reference has at most 255 bytes.")
      }
      guard let message = request.message else { throw RPCError.invalidField("message", "The mail is missing.") }
      response.result = .response(try await sender.send(message, call, isOfBatch: true))
    } catch {
      response.result = .error(StatusDetails(RPCError(RPCError.of(error)).withReason))
    }
    return response
  }

  func getMessage(_ request: Mailer.GetMessageRequest, _ call: ServiceCall) async throws -> Mailer.GetMessageResponse {
    guard let id = UniqueID(request.id) else { throw RPCError.notFound }
    return try await answering {
      let key = MailKey(tenantID: call.tenantID, userID: call.userID, id: id)
      guard let row = try await store.message(key, timeline: true) else { throw RPCError.notFound }
      return Mailer.GetMessageResponse { $0.message = row.record }
    }
  }

  func listMessages(
    _ request: Mailer.ListMessagesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListMessagesResponse {
    let user = call.user
    let query = try MessageQuery(request, user: user)
    return try await answering {
      let rows = try await store.list(query.search, of: user)
      return Mailer.ListMessagesResponse {
        $0.messages = rows.prefix(query.search.limit).map(\.record)
        if rows.count > query.search.limit { $0.nextCursor = query.cursor(after: rows[query.search.limit - 1]) }
      }
    }
  }

  func cancelMessage(
    _ request: Mailer.CancelMessageRequest, _ call: ServiceCall
  ) async throws -> Mailer.CancelMessageResponse {
    guard let id = UniqueID(request.id) else { throw RPCError.notFound }
    return try await answering {
      switch try await store.cancel(MailKey(tenantID: call.tenantID, userID: call.userID, id: id)) {
      case "cancelled":
        metrics.outcome("cancelled")
        return Mailer.CancelMessageResponse()
      case "too_late": throw RPCError.tooLate
      default: throw RPCError.notFound
      }
    }
  }

  func watchMessages(
    _ request: Mailer.WatchMessagesRequest, _ writer: MessageWriter<Mailer.WatchMessagesResponse>, _ call: ServiceCall
  ) async throws {
    try await answering { try await watches.follow(request, writer, call) }
  }

  /// Runs a method's work: what that fails with becomes what the caller is told.
  func answering<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch {
      throw RPCError.of(error)
    }
  }
}

extension ServiceCall {
  /// Whom the call is for.
  var user: UserKey { UserKey(tenantID: tenantID, userID: userID) }
}

/// Counts what is under way in a batch, and lets its reader wait for room and for the end.
private final class Batch {
  private let limit: Int
  private let reactor: Reactor
  private var count = 0
  private var waiter: Waiter<Void>?

  init(limit: Int, reactor: Reactor) {
    self.limit = limit
    self.reactor = reactor
  }

  func begin() { count += 1 }

  func end() {
    count -= 1
    waiter?.resume(returning: ())
  }

  func room() async throws { while count >= limit { try await next() } }

  func done() async throws { while count > 0 { try await next() } }

  private func next() async throws { try await reactor.wait { waiter = $0 } }
}
