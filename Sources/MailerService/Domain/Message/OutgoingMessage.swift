import CivilTime
import MailSyntax

/// A message that keeps every rule of the API, so that building its MIME cannot fail.
struct OutgoingMessage: Sendable, Equatable {
  struct Attachment: Sendable, Equatable {
    enum Disposition: String, Sendable { case attachment, inline }

    var filename: String
    var mediaType: MediaType
    var content: [UInt8]
    /// Without angle brackets.
    var contentID: String?
    var disposition: Disposition
  }

  let to: [MailAddress]
  let cc: [MailAddress]
  let bcc: [MailAddress]
  let subject: String
  let text: String?
  let html: String?
  /// The address that the sender wants to send from; it must be the connected one.
  let requestedFrom: MailAddress?
  let fromName: String?
  let replyTo: [MailAddress]
  let attachments: [Attachment]
  let headers: [ExtraHeader]
  let threadID: String?
  /// When it is to leave; `nil` is now.
  let sendAt: Timestamp?
  let metadata: [MessageDraft.Pair]

  var recipientCount: Int { to.count + cc.count + bcc.count }

  /// The bytes of its bodies and attachments, which is what building its MIME costs.
  var contentSize: Int {
    attachments.reduce((text?.utf8.count ?? 0) + (html?.utf8.count ?? 0)) { $0 + $1.content.count }
  }

  /// Every recipient once, as reports count them.
  var recipientKeys: [String] {
    var seen: Set<String> = []
    return (to + cc + bcc).map(\.key).filter { seen.insert($0).inserted }
  }

  /// Where these recipients stand in the request, e.g. `to[3]`.
  func places(of keys: Set<String>) -> [String] {
    [("to", to), ("cc", cc), ("bcc", bcc)].flatMap { name, list in
      list.indices.filter { keys.contains(list[$0].key) }.map { "\(name)[\($0)]" }
    }
  }

  init(_ draft: MessageDraft, now: Timestamp) throws(InvalidMessage) {
    var check = MessageCheck()
    to = check.addresses(draft.to, field: "to")
    cc = check.addresses(draft.cc, field: "cc")
    bcc = check.addresses(draft.bcc, field: "bcc")
    check.recipients(draft.to.count + draft.cc.count + draft.bcc.count)
    subject = check.header(draft.subject, field: "subject", maximum: MessageLimits.subject)
    text = draft.text
    html = draft.html
    check.body(text: draft.text, html: draft.html)
    requestedFrom = check.optionalAddress(draft.fromEmail, field: "from_email")
    fromName = check.fromName(draft.fromName)
    replyTo = check.addresses(draft.replyTo, field: "reply_to")
    check.count(draft.replyTo.count, field: "reply_to", maximum: MessageLimits.replyTo)
    attachments = check.attachments(draft.attachments)
    headers = check.headers(draft.headers, own: draft.ownHeaders)
    threadID = check.threadID(draft.threadID)
    check.provider(draft.provider)
    sendAt = check.sendAt(draft.sendAt, now: now)
    metadata = check.metadata(draft.metadata)
    guard check.violations.isEmpty else { throw InvalidMessage(violations: check.violations) }
  }
}
