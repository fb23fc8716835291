import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import StrictJSON

/// The tenant's suppression list, and the link by which a recipient puts himself on it.
extension EdgeHandler {
  static let suppressionPage = 1...1000

  func listSuppressions(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.ListSuppressionsRequest()
    if let limit = try call.wholeNumber("limit", in: Self.suppressionPage) { message.limit = Int32(limit) }
    message.cursor = call.query["cursor"] ?? ""
    let page = try await backends.mailer.call(Mailer.listSuppressions, message, options: backends.options(for: call))
    return .list("suppressions", of: page.suppressions, bytesEach: 128, next: page.nextCursor) { $0.suppression($1) }
  }

  func addSuppression(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let body = try JSONFields(try await call.json().value)
    var message = Mailer.AddSuppressionRequest()
    message.entry = body.string("entry", maximumScalars: 320)
    message.reason = body.optionalString("reason", maximumScalars: 255) ?? ""
    try body.finish()
    let answer = try await backends.mailer.call(Mailer.addSuppression, message, options: backends.options(for: call))
    let suppression = answer.suppression ?? Mailer.Suppression()
    return .json(answer.added ? .created : .ok) { $0.suppression(suppression) }
  }

  func removeSuppression(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Mailer.RemoveSuppressionRequest()
    message.entry = call.parameters["entry"] ?? ""
    _ = try await backends.mailer.call(Mailer.removeSuppression, message, options: backends.options(for: call))
    return HTTPServerResponse(.noContent)
  }

  /// The recipient's mail program, or the recipient on our page, says `List-Unsubscribe=One-Click`.
  func unsubscribe(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let bytes = try await call.request.body.collect(upTo: OneClick.maximumBody)
    guard OneClick.isAsked(for: bytes, contentType: call.contentType) else {
      throw Problem(400, "not_one_click", "The body must be the form field List-Unsubscribe=One-Click.")
    }
    var message = Mailer.UnsubscribeRequest()
    message.token = call.parameters["token"] ?? ""
    _ = try await backends.mailer.call(Mailer.unsubscribe, message, options: backends.options(for: call))
    return UnsubscribePage.done
  }
}

extension JSONWriter {
  fileprivate mutating func suppression(_ suppression: Mailer.Suppression) {
    object { json in
      json.member("entry", suppression.entry)
      json.member("kind", suppression.entry.utf8.contains(UInt8(ascii: "@")) ? "address" : "domain")
      json.member("reason", suppression.reason.isEmpty ? nil : suppression.reason)
      json.member("source", suppression.source.word)
      json.member("created_at", suppression.createdAt)
    }
  }
}

/// What the recipient sees. The question tells nothing of the token: whoever fetches links ahead of people learns and
/// changes nothing.
enum UnsubscribePage {
  static var question: HTTPServerResponse {
    .page(
      .ok, title: "Unsubscribe",
      """
      <h1>Unsubscribe from these mails?</h1>
      <form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">
      <button type="submit">Unsubscribe</button></form>
      """)
  }

  static var done: HTTPServerResponse {
    .page(.ok, title: "Unsubscribed", "<h1>You are unsubscribed</h1>\n<p>You will get no more of these mails.</p>")
  }
}
