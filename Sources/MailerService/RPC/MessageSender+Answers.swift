import CivilTime
import MailSyntax
import RPCRuntime
import ServiceContracts
import WireCodec

extension MessageSender {
  func accepted(_ mail: Mail, _ order: Order) -> Mailer.SendMessageResponse {
    Mailer.SendMessageResponse {
      $0.id = mail.acceptance.key.id.description
      $0.status = order.message.sendAt == nil ? .queued : .scheduled
      $0.provider = .gmailAPI
      $0.fromEmail = mail.acceptance.account.address.specification
      $0.sendAt = ProtobufTimestamp?(order.message.sendAt)
    }
  }

  func response(_ mail: Mail, _ outcome: SendOutcome, at time: Timestamp) -> Mailer.SendMessageResponse {
    Mailer.SendMessageResponse {
      $0.id = mail.acceptance.key.id.description
      $0.status = MessageStatus(word: outcome.status) ?? .unknown
      if case .success(let message, let thread) = outcome {
        $0.messageID = message
        $0.threadID = thread
      }
      $0.provider = .gmailAPI
      $0.fromEmail = mail.acceptance.account.address.specification
      $0.sentAt = ProtobufTimestamp(time)
      $0.error = outcome.error.map { error in
        DeliveryError {
          $0.code = error.code
          $0.message = error.message
        }
      }
    }
  }

  func response(_ record: MessageRecord) -> Mailer.SendMessageResponse {
    Mailer.SendMessageResponse {
      $0.id = record.id
      $0.status = record.status
      $0.messageID = record.status == .success ? record.messageID : nil
      $0.threadID = record.status == .success ? record.threadID : nil
      $0.provider = record.provider
      $0.fromEmail = record.fromEmail
      $0.sentAt = record.sentAt
      $0.sendAt = record.sendAt
      $0.error = record.error
    }
  }

  /// The first answer to this key; nil when the key is not known.
  func replay(
    _ idempotency: MailStore.Idempotency, of user: UserKey
  ) async throws -> Mailer.SendMessageResponse? {
    guard let known = try await store.known(idempotency, of: user) else { return nil }
    guard known.fingerprint == idempotency.fingerprint else { throw RPCError.keyReused }
    guard let row = known.message else { throw RPCError.keyInFlight }
    var response = response(row.record)
    var wasAccepted = known.wasAccepted
    if !wasAccepted, !row.isFinal {
      // Whoever was to hear the first answer is gone, or its process is: no call waits that long.
      guard row.createdAt + Self.forgottenAfter < .now() else { throw RPCError.keyInFlight }
      try await store.noteAccepted(idempotency, of: user)
      wasAccepted = true
    }
    if wasAccepted {
      response.status = row.record.sendAt == nil ? .queued : .scheduled
      (response.messageID, response.threadID, response.sentAt, response.error) = (nil, nil, nil, nil)
    }
    response.replayed = true
    return response
  }
}
