import CivilTime
import EventLoop
import RPCRuntime
import ServiceContracts
import ServiceKit
import Synchronization
import WireCodec

/// What the services behind the edge were asked, for the tests to look at.
final class Seen: Sendable {
  struct Call: Sendable {
    var context = CallContext()
    var requestID: String?
    var timeout: Duration?
    var send: Mailer.SendMessageRequest?
    var list: Mailer.ListMessagesRequest?
    /// Of the message that was asked for.
    var id: String?
    var complete: OAuth.CompleteAuthorizationRequest?
    var range: Reports.DateRange?
  }

  let calls = Mutex<[Call]>([])

  var last: Call { calls.withLock { $0.last ?? Call() } }
  var count: Int { calls.withLock { $0.count } }

  func note(_ call: ServiceCall, _ change: (inout Call) -> Void = { _ in }) {
    var seen = Call()
    seen.context = call.context
    seen.requestID = call.server.metadata.text("x-request-id")
    change(&seen)
    let result = seen
    calls.withLock { $0.append(result) }
  }
}

/// The three services, each doing what its request says.
struct FakeServices: OAuth.Service, Mailer.Service, Reports.Service {
  let seen: Seen

  // MARK: OAuth

  func startAuthorization(
    _ request: OAuth.StartAuthorizationRequest, _ call: ServiceCall
  ) async throws -> OAuth.StartAuthorizationResponse {
    seen.note(call)
    guard request.redirectURL == "https://crm.example/done" else {
      throw RPCError(.invalidArgument, reason: "redirect_url_not_allowed", "This redirect_url is not registered.")
    }
    return OAuth.StartAuthorizationResponse {
      $0.authorizationURL = "https://accounts.example/o?state=x"
      $0.expiresAt = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
    }
  }

  func sealCallback(
    _ request: OAuth.SealCallbackRequest, _ call: ServiceCall
  ) async throws -> OAuth.SealCallbackResponse {
    seen.note(call)
    guard request.state == "good" else { throw RPCError(.invalidArgument, reason: "invalid_state", "No such state.") }
    return OAuth.SealCallbackResponse { $0.location = "https://crm.example/done?code=h&state=good" }
  }

  func completeAuthorization(
    _ request: OAuth.CompleteAuthorizationRequest, _ call: ServiceCall
  ) async throws -> OAuth.CompleteAuthorizationResponse {
    seen.note(call) { $0.complete = request }
    switch request.state {
    case "good":
      return OAuth.CompleteAuthorizationResponse {
        $0.userID = call.userID
        $0.emailAddress = "u@gmail.example"
        $0.redirectURL = "https://crm.example/done"
        $0.scopes = ["openid"]
      }
    case "scope_not_granted", "unexpected_account":
      throw RPCError(.failedPrecondition, reason: request.state, "Refused.")
    case "google_unavailable", "vault_unavailable":
      throw RPCError(.aborted, reason: request.state, "It is away; connect again.")
    case "invalid_id_token": throw RPCError(.internal, reason: request.state, "Bad token.")
    default: throw RPCError(.invalidArgument, reason: "invalid_state", "No such state.")
    }
  }

  func getProfile(_ request: OAuth.GetProfileRequest, _ call: ServiceCall) async throws -> OAuth.GetProfileResponse {
    seen.note(call)
    switch call.userID {
    case "crash": throw RPCError(.internal, "a secret detail of the database")
    case "away": throw RPCError(.unavailable, "no")
    case "refused": throw RPCError(.unauthenticated, reason: "invalid_context", "no")
    case "slow": throw RPCError(.deadlineExceeded, "no")
    default: break
    }
    return OAuth.GetProfileResponse {
      $0.userID = call.userID
      $0.gmailConnected = true
      $0.emailAddress = "u@gmail.example"
      $0.provider = .gmailAPI
      $0.status = .active
    }
  }

  func getAccessToken(
    _ request: OAuth.GetAccessTokenRequest, _ call: ServiceCall
  ) async throws -> OAuth.GetAccessTokenResponse { throw RPCError(.unimplemented, "no") }

  func disconnect(_ request: OAuth.DisconnectRequest, _ call: ServiceCall) async throws -> OAuth.DisconnectResponse {
    seen.note(call)
    return OAuth.DisconnectResponse()
  }

  func watchConnections(
    _ request: OAuth.WatchConnectionsRequest, _ writer: MessageWriter<OAuth.WatchConnectionsResponse>,
    _ call: ServiceCall
  ) async throws {}

  // MARK: Mailer

  func sendMessage(
    _ request: Mailer.SendMessageRequest, _ call: ServiceCall
  ) async throws -> Mailer.SendMessageResponse {
    seen.note(call) { $0.send = request }
    var response = Mailer.SendMessageResponse()
    response.id = "01890000-0000-7000-8000-000000000001"
    response.fromEmail = "u@gmail.example"
    response.provider = .gmailAPI
    response.replayed = request.idempotencyKey == "again"
    switch request.subject {
    case "fields":
      throw RPCError.invalidRequest([.init(field: "to[0]", description: "is no address")])
    case "in flight":
      throw RPCError(
        .aborted, reason: "idempotency_in_flight", domain: "emailmcp", "Still in flight.",
        details: [RetryInfo(retryDelay: .milliseconds(1500))])
    case "suppressed":
      throw RPCError(
        .failedPrecondition, reason: "recipient_suppressed", domain: "emailmcp", "On the list.",
        details: [BadRequest([.init(field: "to[0]", description: "This address is on the suppression list.")])])
    case "not connected": throw RPCError(.failedPrecondition, reason: "not_connected", "Connect first.")
    case "too large": throw RPCError(.invalidArgument, reason: "message_too_large", "Too large.")
    case "from": throw RPCError(.permissionDenied, reason: "from_not_allowed", "Not your address.")
    case "quota":
      throw RPCError(
        .resourceExhausted, reason: "too_many_unsent", domain: "emailmcp", "Too many.",
        details: [
          QuotaFailure([.init(subject: "tenant", description: "unsent", quotaID: "unsent", quotaValue: 100)]),
          RetryInfo(retryDelay: .seconds(5)),
        ])
    case "cancelled": response.status = .cancelled
    case "rejected", "not configured", "unknown":
      response.status = request.subject == "unknown" ? .unknown : .failed
      var error = DeliveryError()
      error.code =
        switch request.subject {
        case "unknown": "outcome_unknown"
        case "rejected": "gmail_rejected"
        default: "gmail_not_configured"
        }
      error.message = "Gmail said no."
      response.error = error
    default:
      let isNow = request.wait?.duration != .zero && request.sendAt == nil
      response.status = isNow ? .success : (request.sendAt == nil ? .queued : .scheduled)
      response.sendAt = request.sendAt
      if isNow {
        response.messageID = "g1"
        response.threadID = "t1"
        response.sentAt = ProtobufTimestamp(Timestamp(milliseconds: 1_700_000_000_123))
      }
    }
    return response
  }

  func sendMessages(
    _ requests: MessageReader<Mailer.SendMessagesRequest>, _ writer: MessageWriter<Mailer.SendMessagesResponse>,
    _ call: ServiceCall
  ) async throws {}

  private func record() -> MessageRecord {
    MessageRecord {
      $0.id = "01890000-0000-7000-8000-000000000001"
      $0.to = ["a@b.example"]
      $0.cc = ["c@b.example"]
      $0.bcc = ["d@b.example"]
      $0.subject = "Hi"
      $0.status = .unknown
      $0.sendAt = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      $0.metadata = WireMap([("b", "2"), ("a", "1")])
      var event = TimelineEvent()
      event.event = .accepted
      event.at = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      $0.timeline = [event]
    }
  }

  func getMessage(_ request: Mailer.GetMessageRequest, _ call: ServiceCall) async throws -> Mailer.GetMessageResponse {
    seen.note(call) { $0.id = request.id }
    guard request.id.hasSuffix("1") else { throw RPCError(.notFound, reason: "not_found", "There is nothing here.") }
    return Mailer.GetMessageResponse { $0.message = record() }
  }

  func listMessages(
    _ request: Mailer.ListMessagesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListMessagesResponse {
    seen.note(call) { $0.list = request }
    return Mailer.ListMessagesResponse {
      $0.messages = [record()]
      $0.nextCursor = request.cursor.isEmpty ? "c2" : ""
    }
  }

  func cancelMessage(
    _ request: Mailer.CancelMessageRequest, _ call: ServiceCall
  ) async throws -> Mailer.CancelMessageResponse {
    seen.note(call) { $0.id = request.id }
    guard request.id.hasSuffix("1") else { throw RPCError(.failedPrecondition, reason: "too_late", "Too late.") }
    return Mailer.CancelMessageResponse()
  }

  func watchMessages(
    _ request: Mailer.WatchMessagesRequest, _ writer: MessageWriter<Mailer.WatchMessagesResponse>, _ call: ServiceCall
  ) async throws {}

  func getCapacity(
    _ request: Mailer.GetCapacityRequest, _ call: ServiceCall
  ) async throws -> Mailer.GetCapacityResponse {
    seen.note(call)
    guard call.userID != "nobody" else { return Mailer.GetCapacityResponse { $0.account = .neverConnected } }
    return Mailer.GetCapacityResponse {
      $0.account = .active
      $0.minute = .init {
        $0.limit = 60
        $0.left = 42
      }
      $0.day = .init {
        $0.limit = 500
        $0.used = 500
        $0.isLearnt = true
        $0.freesAt = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      }
      $0.pausedReason = "daily_limit"
      $0.queue = .init {
        $0.waiting = 7
        $0.basis = .observed
        $0.expectedFinish = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      }
      $0.asOf = ProtobufTimestamp(Timestamp(seconds: 1_600_000_000))
    }
  }

  func addSuppression(
    _ request: Mailer.AddSuppressionRequest, _ call: ServiceCall
  ) async throws -> Mailer.AddSuppressionResponse {
    seen.note(call)
    guard request.entry.contains(".") else { throw RPCError.invalidField("entry", "The domain must be a full name.") }
    return Mailer.AddSuppressionResponse {
      var suppression = Mailer.Suppression()
      suppression.entry = request.entry
      suppression.reason = request.reason
      suppression.source = .platform
      suppression.createdAt = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      $0.suppression = suppression
      $0.added = request.entry != "old.example"
    }
  }

  func listSuppressions(
    _ request: Mailer.ListSuppressionsRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListSuppressionsResponse {
    seen.note(call)
    return Mailer.ListSuppressionsResponse {
      var suppression = Mailer.Suppression()
      suppression.entry = "a@b.example"
      suppression.source = .unsubscribe
      $0.suppressions = [suppression]
      $0.nextCursor = request.limit == 1 ? "next" : ""
    }
  }

  func removeSuppression(
    _ request: Mailer.RemoveSuppressionRequest, _ call: ServiceCall
  ) async throws -> Mailer.RemoveSuppressionResponse {
    seen.note(call)
    guard request.entry == "a@b.example" else { throw RPCError(.notFound, reason: "not_found", "Not there.") }
    return Mailer.RemoveSuppressionResponse()
  }

  func unsubscribe(
    _ request: Mailer.UnsubscribeRequest, _ call: ServiceCall
  ) async throws -> Mailer.UnsubscribeResponse {
    seen.note(call)
    guard request.token == "good" else { throw RPCError(.notFound, reason: "not_found", "Leads nowhere.") }
    return Mailer.UnsubscribeResponse()
  }

  // MARK: Webhooks

  private func webhook(_ id: String) throws -> Mailer.Webhook {
    guard id == "we_1" else { throw RPCError(.notFound, reason: "not_found", "No such endpoint.") }
    return Mailer.Webhook {
      $0.id = id
      $0.url = "https://crm.example/hook"
      $0.enabled = true
      $0.createdAt = ProtobufTimestamp(Timestamp(seconds: 1_700_000_000))
      $0.dead = 2
    }
  }

  func createWebhook(
    _ request: Mailer.CreateWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.CreateWebhookResponse {
    seen.note(call)
    guard request.url.hasPrefix("https://") else { throw RPCError.invalidField("url", "Give https.") }
    guard !request.finalOnly else {
      throw RPCError(.failedPrecondition, reason: "too_many_webhooks", "Too many.")
    }
    let webhook = try webhook("we_1")
    return Mailer.CreateWebhookResponse {
      $0.webhook = webhook
      $0.secret = "whsec_x"
    }
  }

  func listWebhooks(
    _ request: Mailer.ListWebhooksRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListWebhooksResponse {
    seen.note(call)
    let webhook = try webhook("we_1")
    return Mailer.ListWebhooksResponse { $0.webhooks = [webhook] }
  }

  func getWebhook(_ request: Mailer.GetWebhookRequest, _ call: ServiceCall) async throws -> Mailer.GetWebhookResponse {
    seen.note(call)
    var webhook = try webhook(request.id)
    webhook.pending = 1
    return Mailer.GetWebhookResponse { [webhook] in $0.webhook = webhook }
  }

  func updateWebhook(
    _ request: Mailer.UpdateWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.UpdateWebhookResponse {
    seen.note(call)
    var webhook = try webhook(request.id)
    webhook.enabled = request.enabled ?? webhook.enabled
    webhook.url = request.url ?? webhook.url
    let changed = webhook
    return Mailer.UpdateWebhookResponse { $0.webhook = changed }
  }

  func rotateWebhookSecret(
    _ request: Mailer.RotateWebhookSecretRequest, _ call: ServiceCall
  ) async throws -> Mailer.RotateWebhookSecretResponse {
    seen.note(call)
    _ = try webhook(request.id)
    return Mailer.RotateWebhookSecretResponse {
      $0.secret = request.overlap == nil ? "whsec_default" : "whsec_\(request.overlap?.seconds ?? 0)"
    }
  }

  func deleteWebhook(
    _ request: Mailer.DeleteWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.DeleteWebhookResponse {
    seen.note(call)
    _ = try webhook(request.id)
    return Mailer.DeleteWebhookResponse()
  }

  func testWebhook(_ request: Mailer.TestWebhookRequest, _ call: ServiceCall) async throws -> Mailer.TestWebhookResponse
  {
    seen.note(call)
    guard request.id != "we_off" else {
      throw RPCError(.failedPrecondition, reason: "webhook_disabled", "It is disabled.")
    }
    _ = try webhook(request.id)
    return Mailer.TestWebhookResponse { $0.eventID = "msg_1" }
  }

  func listWebhookDeliveries(
    _ request: Mailer.ListWebhookDeliveriesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListWebhookDeliveriesResponse {
    seen.note(call)
    _ = try webhook(request.webhookID)
    return Mailer.ListWebhookDeliveriesResponse {
      var delivery = Mailer.WebhookDelivery()
      delivery.eventID = "msg_1"
      delivery.state = request.state
      delivery.lastStatus = 503
      $0.deliveries = [delivery]
      $0.nextCursor = request.limit == 1 ? "7" : ""
    }
  }

  func replayWebhookDeliveries(
    _ request: Mailer.ReplayWebhookDeliveriesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ReplayWebhookDeliveriesResponse {
    seen.note(call)
    _ = try webhook(request.webhookID)
    return Mailer.ReplayWebhookDeliveriesResponse { $0.replayed = request.eventID == nil ? 2 : 1 }
  }

  // MARK: Reports

  func getUserReport(
    _ request: Reports.GetUserReportRequest, _ call: ServiceCall
  ) async throws -> Reports.GetUserReportResponse {
    seen.note(call) { $0.range = request.range }
    guard request.range?.timeZone != "Mars/Olympus" else {
      throw RPCError(.invalidArgument, reason: "invalid_time_zone", "No such zone.")
    }
    return Reports.GetUserReportResponse {
      $0.userID = call.userID
      $0.range = request.range
      $0.totalEmails = 2
      $0.successRate = 0.5
      var day = Reports.DayCount()
      day.date = "2026-11-22"
      day.total = 2
      $0.emailsByDay = [day]
      $0.recentEmails = [record()]
    }
  }

  func getSummary(_ request: Reports.GetSummaryRequest, _ call: ServiceCall) async throws -> Reports.GetSummaryResponse
  {
    seen.note(call)
    return Reports.GetSummaryResponse { $0.totalUsers = 3 }
  }

  func exportMessages(
    _ request: Reports.ExportMessagesRequest, _ writer: MessageWriter<Reports.ExportMessagesResponse>,
    _ call: ServiceCall
  ) async throws {
    seen.note(call)
    guard request.range?.timeZone != "Mars/Olympus" else {
      throw RPCError(.invalidArgument, reason: "invalid_time_zone", "No such zone.")
    }
    for piece in ["id,…\n", "1\n", "2\n"] {
      try await writer.write(Reports.ExportMessagesResponse { $0.content = Array(piece.utf8) })
    }
  }
}
