import CivilTime
import MailSyntax
import ServiceContracts
import StrictJSON
import TLSSession
import WireCodec

/// The JSON of `POST …/messages` as the mailer's request. Types and shapes are checked here; addresses, sizes and what
/// may stand in a header are the mailer's to judge, so that every way in has the same rules.
enum SendBody {
  static func parse(_ value: JSONValue) throws(JSONFieldErrors) -> Mailer.SendMessageRequest {
    let body = try JSONFields(value)
    var message = Mailer.SendMessageRequest()
    message.to = addresses(body, "to")
    message.cc = addresses(body, "cc")
    message.bcc = addresses(body, "bcc")
    message.subject = body.optionalString("subject", maximumScalars: MessageLimits.subject) ?? ""
    message.body = body.optionalLargeString("body")
    message.html = body.optionalLargeString("html")
    message.fromEmail = body.optionalString("from_email", maximumScalars: 320)
    message.fromName = body.optionalString("from_name", maximumScalars: 998)
    message.replyTo = replyTo(body)
    message.attachments = body.objects("attachments", maximumCount: MessageLimits.attachments) { attachment($0) }
    message.headers = body.strings(
      "headers", maximumCount: MessageLimits.headers, maximumScalars: MessageLimits.headerValue
    ).map { name, value in
      var header = Mailer.Header()
      header.name = name
      header.value = value
      return header
    }
    message.threadID = body.optionalString("thread_id", maximumScalars: 255)
    message.provider = word(body, "provider") ?? .gmailAPI
    message.sendAt = body.optional("send_at") { value throws(JSONFieldProblem) in
      guard let time = Timestamp(rfc3339: try value.asString()) else {
        throw JSONFieldProblem("must be an RFC 3339 time such as 2026-11-22T10:39:00Z")
      }
      return ProtobufTimestamp(time)
    }
    message.onAmbiguous = word(body, "on_ambiguous") ?? .unspecified
    message.oneClickUnsubscribe = body.optionalBool("one_click_unsubscribe") ?? false
    message.priority = word(body, "priority") ?? .unspecified
    message.metadata = WireMap(
      body.strings("metadata", maximumCount: MessageLimits.metadata, maximumScalars: MessageLimits.metadataValue)
        .map { ($0.name, $0.value) })
    try body.finish()
    return message
  }

  private static func word<Word: WordEnum>(_ body: JSONFields, _ name: String) -> Word? {
    body.optional(name) { value throws(JSONFieldProblem) in
      guard let word = Word(word: try value.asString()) else {
        throw JSONFieldProblem("must be one of \(Word.words.map { "\($0)" }.joined(separator: ", "))")
      }
      return word
    }
  }

  private static func addresses(_ body: JSONFields, _ name: String) -> [Mailer.Address] {
    body.elements(name, maximumCount: MessageLimits.recipients).compactMap { path, value in address(body, value, path) }
  }

  /// A string, or an object with `email` and `name`.
  private static func address(_ body: JSONFields, _ value: JSONValue, _ path: String) -> Mailer.Address? {
    var address = Mailer.Address()
    if let text = value.stringValue {
      address.email = text
      return address
    }
    guard value.objectValue != nil else {
      body.failAt(path, "must be a string or an object, not \(value.kind)")
      return nil
    }
    guard let fields = body.fields(value, at: path) else { return nil }
    address.email = fields.string("email", maximumScalars: 320)
    address.name = fields.optionalString("name", maximumScalars: 998) ?? ""
    return address
  }

  /// One address or several.
  private static func replyTo(_ body: JSONFields) -> [Mailer.Address] {
    guard let value = body.optional("reply_to") else { return [] }
    if let elements = value.arrayValue {
      guard elements.count <= MessageLimits.replyTo else {
        body.fail("reply_to", "must have at most \(MessageLimits.replyTo) addresses")
        return []
      }
      return elements.enumerated().compactMap { address(body, $1, "\(body.path(to: "reply_to"))[\($0)]") }
    }
    return address(body, value, body.path(to: "reply_to")).map { [$0] } ?? []
  }

  private static func attachment(_ fields: JSONFields) -> Mailer.Attachment? {
    var attachment = Mailer.Attachment()
    attachment.filename = fields.string("filename", maximumScalars: MessageLimits.filename)
    attachment.contentType = fields.optionalString("content_type", maximumScalars: 255) ?? ""
    if let text = fields.optionalLargeString("content") {
      if let content = Base64.decode(text) {
        attachment.content = content
      } else {
        fields.fail("content", "must be base64 (RFC 4648 section 4, padded, without line breaks)")
      }
    } else {
      fields.fail("content", "is missing")
    }
    attachment.contentID = fields.optionalString("content_id", maximumScalars: 255)
    attachment.disposition = word(fields, "disposition") ?? .unspecified
    return attachment
  }
}
