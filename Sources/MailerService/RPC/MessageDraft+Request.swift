import RPCRuntime
import ServiceContracts
import WireCodec

extension MessageDraft {
  init(_ request: Mailer.SendMessageRequest) throws(RPCError) {
    to = request.to.map(Address.init)
    cc = request.cc.map(Address.init)
    bcc = request.bcc.map(Address.init)
    subject = request.subject
    text = request.body
    html = request.html
    fromEmail = request.fromEmail
    fromName = request.fromName
    replyTo = request.replyTo.map(Address.init)
    attachments = request.attachments.map(Attachment.init)
    if let index = request.attachments.firstIndex(where: { !$0.disposition.isKnown }) {
      throw .invalidField("attachments[\(index)].disposition", "This must be attachment or inline.")
    }
    headers = request.headers.map { Pair(name: $0.name, value: $0.value) }
    threadID = request.threadID
    metadata = request.metadata.pairs.map { Pair(name: $0.key, value: $0.value) }
    guard request.provider.isKnown else { throw .invalidField("provider", "The only provider is gmail_api.") }
    if let time = request.sendAt {
      guard let sendAt = time.timestamp else { throw .invalidField("send_at", "This is not a time.") }
      self.sendAt = sendAt
    }
  }
}

extension MessageDraft.Address {
  init(_ address: Mailer.Address) {
    self.init(email: address.email, name: address.name.isEmpty ? nil : address.name)
  }
}

extension MessageDraft.Attachment {
  init(_ attachment: Mailer.Attachment) {
    self.init(
      filename: attachment.filename, contentType: attachment.contentType, content: attachment.content,
      contentID: attachment.contentID, disposition: attachment.disposition.word)
  }
}
