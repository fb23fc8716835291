/// What a route does; the raw value is its `operationId` and its label in the metrics.
enum Operation: String, Sendable, CaseIterable {
  case startAuthorization, receiveCallback, completeAuthorization
  case getProfile, disconnectGmail, mintUserToken
  case sendMessage, listMessages, getMessage, cancelMessage, getCapacity
  case getUserReport, exportMessages, getSummary
  case listSuppressions, addSuppression, removeSuppression, showUnsubscribe, unsubscribe
  case createWebhook, listWebhooks, getWebhook, updateWebhook, rotateWebhookSecret, deleteWebhook, testWebhook
  case listWebhookDeliveries, replayWebhookDeliveries
  case getHealth, getReadiness, getOpenAPI
}

/// One row of the API: what the router matches and what the OpenAPI document says.
struct Route: Sendable {
  enum Method: String, Sendable { case get, post, patch, delete }

  let operation: Operation
  let method: Method
  /// Segments with `{…}` for parameters.
  let path: String
  /// Nil: no credential is needed.
  let scope: Scope?
  let summary: String
  /// Names of query parameters.
  var query: [String] = []

  static let range = ["start_date", "end_date", "tz"]
  /// What Google adds to its redirect beside what is used.
  static let googleExtras = [
    "scope", "authuser", "prompt", "hd", "iss", "error_description", "error_uri", "error_subtype", "session_state",
  ]

  static let all: [Route] = [
    Route(
      operation: .startAuthorization, method: .post, path: "/v1/oauth/authorize", scope: .connect,
      summary: "Starts a Gmail connection for a user"),
    Route(
      operation: .receiveCallback, method: .get, path: "/v1/oauth/callback", scope: nil,
      summary: "Takes the browser back from Google; the state is the capability",
      query: ["code", "state", "error"] + googleExtras),
    Route(
      operation: .completeAuthorization, method: .post, path: "/v1/oauth/callback", scope: .connect,
      summary: "Completes a connection", query: ["code", "state", "user_id", "error"] + googleExtras),
    Route(
      operation: .getProfile, method: .get, path: "/v1/users/{user_id}/profile", scope: .read,
      summary: "The user's connection status and address"),
    Route(
      operation: .disconnectGmail, method: .delete, path: "/v1/users/{user_id}/gmail", scope: .connect,
      summary: "Disconnects the user's Gmail account"),
    Route(
      operation: .mintUserToken, method: .post, path: "/v1/users/{user_id}/tokens", scope: .connect,
      summary: "Mints a short-lived token for the user's browser"),
    Route(
      operation: .sendMessage, method: .post, path: "/v1/users/{user_id}/messages", scope: .send,
      summary: "Sends a mail from the user's own account", query: ["wait"]),
    Route(
      operation: .listMessages, method: .get, path: "/v1/users/{user_id}/messages", scope: .read,
      summary: "Searches the user's log, newest first",
      query: ["status", "to", "subject", "start_date", "end_date", "limit", "cursor"]),
    Route(
      operation: .getMessage, method: .get, path: "/v1/users/{user_id}/messages/{id}", scope: .read,
      summary: "One message with its timeline"),
    Route(
      operation: .cancelMessage, method: .delete, path: "/v1/users/{user_id}/messages/{id}", scope: .send,
      summary: "Cancels a queued or scheduled message"),
    Route(
      operation: .getCapacity, method: .get, path: "/v1/users/{user_id}/capacity", scope: .read,
      summary: "What the user may still send, and when the queue is expected to be empty"),
    Route(
      operation: .getUserReport, method: .get, path: "/v1/reports/users/{user_id}", scope: .reports,
      summary: "A user's report", query: range),
    Route(
      operation: .exportMessages, method: .get, path: "/v1/reports/users/{user_id}/export", scope: .reports,
      summary: "The rows behind a user's report, as CSV or NDJSON", query: range + ["format"]),
    Route(
      operation: .getSummary, method: .get, path: "/v1/reports/summary", scope: .summary,
      summary: "The platform's report", query: range),
    Route(
      operation: .listSuppressions, method: .get, path: "/v1/suppressions", scope: .admin,
      summary: "The tenant's suppression list, by entry", query: ["limit", "cursor"]),
    Route(
      operation: .addSuppression, method: .post, path: "/v1/suppressions", scope: .admin,
      summary: "Suppresses an address, or a domain with all that is below it; mail that waits for it fails too"),
    Route(
      operation: .removeSuppression, method: .delete, path: "/v1/suppressions/{entry}", scope: .admin,
      summary: "Takes an entry off the suppression list"),
    Route(
      operation: .showUnsubscribe, method: .get, path: "/v1/unsubscribe/{token}", scope: nil,
      summary: "A page that asks whether to unsubscribe; it changes nothing"),
    Route(
      operation: .unsubscribe, method: .post, path: "/v1/unsubscribe/{token}", scope: nil,
      summary: "Unsubscribes the recipient of a mail (RFC 8058); the token is the capability"),
    Route(
      operation: .listWebhooks, method: .get, path: "/v1/webhooks", scope: .admin,
      summary: "The tenant's webhook endpoints"),
    Route(
      operation: .createWebhook, method: .post, path: "/v1/webhooks", scope: .admin,
      summary: "Makes a webhook endpoint; its secret is told in the answer and never again"),
    Route(
      operation: .getWebhook, method: .get, path: "/v1/webhooks/{webhook_id}", scope: .admin,
      summary: "One webhook endpoint"),
    Route(
      operation: .updateWebhook, method: .patch, path: "/v1/webhooks/{webhook_id}", scope: .admin,
      summary: "Changes a webhook endpoint, or lets a disabled one be told again"),
    Route(
      operation: .deleteWebhook, method: .delete, path: "/v1/webhooks/{webhook_id}", scope: .admin,
      summary: "Removes a webhook endpoint with all that was to be told"),
    Route(
      operation: .rotateWebhookSecret, method: .post, path: "/v1/webhooks/{webhook_id}/secret", scope: .admin,
      summary: "Makes a new secret; the old one signs too for a while"),
    Route(
      operation: .testWebhook, method: .post, path: "/v1/webhooks/{webhook_id}/test", scope: .admin,
      summary: "Tells a webhook endpoint an event of the type webhook.test"),
    Route(
      operation: .listWebhookDeliveries, method: .get, path: "/v1/webhooks/{webhook_id}/deliveries", scope: .admin,
      summary: "A webhook endpoint's deliveries, the newest first; state=dead for those that were given up",
      query: ["state", "limit", "cursor"]),
    Route(
      operation: .replayWebhookDeliveries, method: .post, path: "/v1/webhooks/{webhook_id}/replay", scope: .admin,
      summary: "Tells again what was given up, or one event"),
    Route(
      operation: .getHealth, method: .get, path: "/healthz", scope: nil, summary: "Whether the process is alive"),
    Route(
      operation: .getReadiness, method: .get, path: "/readyz", scope: nil, summary: "Whether the process can serve"),
    Route(
      operation: .getOpenAPI, method: .get, path: "/v1/openapi.json", scope: nil, summary: "This document"),
  ]
}
