import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import ServiceKit
import StrictJSON
import WireCodec

/// The tenant's webhook endpoints, their secrets and their deliveries.
extension EdgeHandler {
  static let webhookPage = 1...1000
  /// In seconds.
  private static let overlaps =
    WebhookSecret.overlaps.lowerBound.components.seconds...WebhookSecret.overlaps.upperBound.components.seconds

  func createWebhook(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let body = try JSONFields(try await call.json().value)
    var message = Mailer.CreateWebhookRequest()
    message.url = body.string("url", maximumScalars: 2048)
    message.finalOnly = body.optionalBool("final_only") ?? false
    try body.finish()
    let answer = try await backends.mailer.call(Mailer.createWebhook, message, options: backends.options(for: call))
    return .json(.created) { $0.webhook(answer.webhook ?? .init(), secret: answer.secret) }
  }

  func listWebhooks(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let answer = try await backends.mailer.call(Mailer.listWebhooks, .init(), options: backends.options(for: call))
    return .json { json in
      json.object { json in
        json.member("webhooks") { json in json.array(of: answer.webhooks) { $0.webhook($1) } }
      }
    }
  }

  func getWebhook(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.GetWebhookRequest()
    message.id = call.parameters["webhook_id"] ?? ""
    let answer = try await backends.mailer.call(Mailer.getWebhook, message, options: backends.options(for: call))
    return .json { $0.webhook(answer.webhook ?? .init()) }
  }

  func updateWebhook(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let body = try JSONFields(try await call.json().value)
    var message = Mailer.UpdateWebhookRequest()
    message.id = call.parameters["webhook_id"] ?? ""
    message.url = body.optionalString("url", maximumScalars: 2048)
    message.finalOnly = body.optionalBool("final_only")
    message.enabled = body.optionalBool("enabled")
    try body.finish()
    let answer = try await backends.mailer.call(Mailer.updateWebhook, message, options: backends.options(for: call))
    return .json { $0.webhook(answer.webhook ?? .init()) }
  }

  func rotateWebhookSecret(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let body = try JSONFields(try await call.json().value)
    var message = Mailer.RotateWebhookSecretRequest()
    message.id = call.parameters["webhook_id"] ?? ""
    message.overlap = body.optionalInteger("overlap", in: Self.overlaps).map { ProtobufDuration(.seconds($0)) }
    try body.finish()
    let answer = try await backends.mailer.call(
      Mailer.rotateWebhookSecret, message, options: backends.options(for: call))
    return .json(.created) { json in
      json.object { json in
        json.member("secret", answer.secret)
        json.member("previous_secret_until", answer.previousSecretUntil)
      }
    }
  }

  func deleteWebhook(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.DeleteWebhookRequest()
    message.id = call.parameters["webhook_id"] ?? ""
    _ = try await backends.mailer.call(Mailer.deleteWebhook, message, options: backends.options(for: call))
    return HTTPServerResponse(.noContent)
  }

  func testWebhook(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.TestWebhookRequest()
    message.id = call.parameters["webhook_id"] ?? ""
    let answer = try await backends.mailer.call(Mailer.testWebhook, message, options: backends.options(for: call))
    return .json(.accepted) { json in json.object { $0.member("event_id", answer.eventID) } }
  }

  func listWebhookDeliveries(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.ListWebhookDeliveriesRequest()
    message.webhookID = call.parameters["webhook_id"] ?? ""
    if let text = call.query["state"] {
      guard let state = Mailer.WebhookDeliveryState(word: text) else {
        throw Problem.invalid("state", "must be pending, delivered or dead")
      }
      message.state = state
    }
    if let limit = try call.wholeNumber("limit", in: Self.webhookPage) { message.limit = Int32(limit) }
    message.cursor = call.query["cursor"] ?? ""
    let page = try await backends.mailer.call(
      Mailer.listWebhookDeliveries, message, options: backends.options(for: call))
    return .list("deliveries", of: page.deliveries, bytesEach: 256, next: page.nextCursor) { $0.delivery($1) }
  }

  func replayWebhookDeliveries(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let body = try JSONFields(try await call.json().value)
    var message = Mailer.ReplayWebhookDeliveriesRequest()
    message.webhookID = call.parameters["webhook_id"] ?? ""
    message.eventID = body.optionalString("event_id", maximumScalars: 64)
    try body.finish()
    let answer = try await backends.mailer.call(
      Mailer.replayWebhookDeliveries, message, options: backends.options(for: call))
    return .json { json in json.object { $0.member("replayed", answer.replayed) } }
  }
}

extension JSONWriter {
  fileprivate mutating func webhook(_ webhook: Mailer.Webhook, secret: String? = nil) {
    object { json in
      json.member("id", webhook.id)
      json.member("url", webhook.url)
      json.member("final_only", webhook.finalOnly)
      json.member("enabled", webhook.enabled)
      json.member("created_at", webhook.createdAt)
      json.member("previous_secret_until", webhook.previousSecretUntil)
      json.member("pending", webhook.pending)
      json.member("dead", webhook.dead)
      if let secret { json.member("secret", secret) }
    }
  }

  fileprivate mutating func delivery(_ delivery: Mailer.WebhookDelivery) {
    object { json in
      json.member("event_id", delivery.eventID)
      json.member("type", delivery.type)
      json.member("subject", delivery.subject)
      json.member("state", delivery.state.word)
      json.member("attempts", delivery.attempts)
      json.member("created_at", delivery.createdAt)
      json.member("next_attempt_at", delivery.nextAttemptAt)
      json.member("done_at", delivery.doneAt)
      if let status = delivery.lastStatus {
        json.member("last_status", status)
      } else {
        json.member("last_status", String?.none)
      }
      json.member("last_error", delivery.lastError.isEmpty ? nil : delivery.lastError)
    }
  }
}
