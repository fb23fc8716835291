import CivilTime
import MailSyntax
import RPCRuntime
import ServiceContracts
import ServiceKit
import TLSSession
import WireCodec

/// The tenant's webhooks, as the edge calls them.
extension MailerMethods {
  static let webhookPage = 1...1000
  static let defaultWebhookPage = 100
  static let defaultOverlap: Duration = .seconds(86_400)

  func createWebhook(
    _ request: Mailer.CreateWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.CreateWebhookResponse {
    let url = try webhookURL(request.url)
    return try await answering {
      guard let (webhook, secret) = try await webhooks.add(url, finalOnly: request.finalOnly, by: Self.actor(call))
      else { throw RPCError.tooManyWebhooks }
      return Mailer.CreateWebhookResponse {
        $0.webhook = webhook
        $0.secret = secret.revealed
      }
    }
  }

  func listWebhooks(
    _ request: Mailer.ListWebhooksRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListWebhooksResponse {
    try await answering {
      let webhooks = try await webhooks.list(call.tenantID)
      return Mailer.ListWebhooksResponse { $0.webhooks = webhooks }
    }
  }

  func getWebhook(
    _ request: Mailer.GetWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.GetWebhookResponse {
    let id = try Self.webhookID(request.id)
    return try await answering {
      guard let webhook = try await webhooks.get(id, tenantID: call.tenantID) else { throw RPCError.noWebhook }
      return Mailer.GetWebhookResponse { $0.webhook = webhook }
    }
  }

  func updateWebhook(
    _ request: Mailer.UpdateWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.UpdateWebhookResponse {
    let url = try request.url.map { try webhookURL($0) }
    let id = try Self.webhookID(request.id)
    return try await answering {
      guard
        let webhook = try await webhooks.update(
          id, url: url, finalOnly: request.finalOnly, enabled: request.enabled, by: Self.actor(call))
      else { throw RPCError.noWebhook }
      return Mailer.UpdateWebhookResponse { $0.webhook = webhook }
    }
  }

  func rotateWebhookSecret(
    _ request: Mailer.RotateWebhookSecretRequest, _ call: ServiceCall
  ) async throws -> Mailer.RotateWebhookSecretResponse {
    let given = request.overlap ?? ProtobufDuration(Self.defaultOverlap)
    guard let overlap = given.duration(in: WebhookSecret.overlaps) else {
      throw RPCError.invalidField("overlap", "The old secret signs too for at most 7 days.")
    }
    let id = try Self.webhookID(request.id)
    return try await answering {
      guard let secret = try await webhooks.rotate(id, overlap: overlap, by: Self.actor(call)) else {
        throw RPCError.noWebhook
      }
      return Mailer.RotateWebhookSecretResponse {
        $0.secret = secret.revealed
        $0.previousSecretUntil = ProtobufTimestamp(.now() + overlap)
      }
    }
  }

  func deleteWebhook(
    _ request: Mailer.DeleteWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.DeleteWebhookResponse {
    let id = try Self.webhookID(request.id)
    return try await answering {
      guard try await webhooks.remove(id, by: Self.actor(call)) else { throw RPCError.noWebhook }
      return Mailer.DeleteWebhookResponse()
    }
  }

  func testWebhook(
    _ request: Mailer.TestWebhookRequest, _ call: ServiceCall
  ) async throws -> Mailer.TestWebhookResponse {
    let id = try Self.webhookID(request.id)
    return try await answering {
      guard let event = try await webhooks.test(id, by: Self.actor(call)) else {
        throw try await webhooks.exists(id, tenantID: call.tenantID) ? RPCError.webhookDisabled : RPCError.noWebhook
      }
      return Mailer.TestWebhookResponse { $0.eventID = event }
    }
  }

  func listWebhookDeliveries(
    _ request: Mailer.ListWebhookDeliveriesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListWebhookDeliveriesResponse {
    let limit = request.limit == 0 ? Self.defaultWebhookPage : Int(request.limit)
    guard Self.webhookPage.contains(limit) else {
      throw RPCError.invalidField("limit", "A page has 1 to \(Self.webhookPage.upperBound) deliveries.")
    }
    guard request.state.isKnown else { throw RPCError.invalidField("state", "There is no such state.") }
    var before = Int64.max
    if !request.cursor.isEmpty {
      guard let sequence = Int64(request.cursor), sequence > 0, "\(sequence)" == request.cursor else {
        throw RPCError.invalidCursor
      }
      before = sequence
    }
    let id = try Self.webhookID(request.webhookID)
    return try await answering {
      guard try await webhooks.exists(id, tenantID: call.tenantID) else { throw RPCError.noWebhook }
      let rows = try await webhooks.deliveries(
        id, state: request.state.word, before: before, limit: limit, tenantID: call.tenantID)
      return Mailer.ListWebhookDeliveriesResponse {
        $0.deliveries = rows.prefix(limit).map(\.delivery)
        if rows.count > limit { $0.nextCursor = "\(rows[limit - 1].sequence)" }
      }
    }
  }

  func replayWebhookDeliveries(
    _ request: Mailer.ReplayWebhookDeliveriesRequest, _ call: ServiceCall
  ) async throws -> Mailer.ReplayWebhookDeliveriesResponse {
    let id = try Self.webhookID(request.webhookID)
    if let event = request.eventID, !HeaderText.isPrintableASCII(event) || event.utf8.count > 64 {
      throw RPCError.noWebhookEvent
    }
    return try await answering {
      guard try await webhooks.exists(id, tenantID: call.tenantID) else { throw RPCError.noWebhook }
      let count = try await webhooks.replay(id, event: request.eventID, by: Self.actor(call))
      guard count > 0 || request.eventID == nil else { throw RPCError.noWebhookEvent }
      return Mailer.ReplayWebhookDeliveriesResponse { $0.replayed = count }
    }
  }

  // MARK: Parts

  private static func actor(_ call: ServiceCall) -> WebhookAdministration.Actor {
    WebhookAdministration.Actor(tenantID: call.tenantID, credentialID: call.context.credentialID)
  }

  /// What cannot be an id names nothing.
  private static func webhookID(_ text: String) throws -> String {
    guard HeaderText.isPrintableASCII(text), 1...64 ~= text.utf8.count else { throw RPCError.noWebhook }
    return text
  }

  private func webhookURL(_ text: String) throws -> WebhookURL {
    do throws(WebhookURLError) {
      return try WebhookURL(endpoint: text, allowsLoopback: webhooks.allowsLoopback)
    } catch {
      throw RPCError.invalidField("url", error.description)
    }
  }
}

extension RPCError {
  fileprivate static let noWebhook = RPCError(.notFound, reason: "not_found", "There is no such webhook endpoint.")
  fileprivate static let noWebhookEvent = RPCError(
    .notFound, reason: "not_found", "This endpoint was told of no such event, or still will be.")
  fileprivate static let webhookDisabled = RPCError(
    .failedPrecondition, reason: "webhook_disabled", "The endpoint is disabled; enable it first.")
  fileprivate static let tooManyWebhooks = RPCError(
    .failedPrecondition, reason: "too_many_webhooks", "A tenant has at most 16 webhook endpoints.")
}
