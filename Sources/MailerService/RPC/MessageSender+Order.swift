import CivilTime
import EventLoop
import MailSyntax
import RPCRuntime
import ServiceContracts
import TLSSession
import WireCodec

extension MessageSender {
  /// What is asked for.
  struct Order {
    let message: OutgoingMessage
    let policy: SendAttempt.AmbiguityPolicy
    /// Zero: answer when it is durable.
    let wait: Duration
    /// When the wait ends: what came before the acceptance is part of it.
    let deadline: Instant
    let idempotency: MailStore.Idempotency?
    let credentialID: String
    var isBulk = false

    var isAwaited: Bool { wait > .zero && message.sendAt == nil }
    /// Bulk mail goes by the queue, where turns are taken.
    var goesAtOnce: Bool { isAwaited && !isBulk }

    init(
      _ request: Mailer.SendMessageRequest, of user: UserKey, _ idempotency: MailStore.Idempotency?,
      links: UnsubscribeLinks, credentialID: String, arrival: Instant
    ) throws(RPCError) {
      guard request.onAmbiguous.isKnown else { throw .invalidField("on_ambiguous", "This must be hold or retry.") }
      guard request.priority.isKnown else { throw .invalidField("priority", "This must be interactive or bulk.") }
      var draft = try MessageDraft(request)
      if request.oneClickUnsubscribe { draft.ownHeaders = try links.headers(of: draft, user) }
      do throws(InvalidMessage) {
        message = try OutgoingMessage(draft, now: .now())
      } catch {
        throw RPCError(error)
      }
      policy = request.onAmbiguous == .retry ? .retry : .hold
      wait = try Self.wait(request)
      deadline = arrival + wait
      self.idempotency = idempotency
      self.credentialID = credentialID
    }

    private static func wait(_ request: Mailer.SendMessageRequest) throws(RPCError) -> Duration {
      guard let given = request.wait else { return defaultWait }
      guard let wait = given.duration(in: .zero...longestWait) else {
        throw .invalidField("wait", "Give 0 to 60 seconds.")
      }
      return wait
    }

    static func idempotency(_ request: Mailer.SendMessageRequest) throws(RPCError) -> MailStore.Idempotency? {
      guard let key = request.idempotencyKey else { return nil }
      guard 1...255 ~= key.utf8.count, HeaderText.isPrintableASCII(key) else {
        throw .invalidField("idempotency_key", "An idempotency key has 1 to 255 printable ASCII characters.")
      }
      var fingerprint = request.idempotencyFingerprint
      if fingerprint.isEmpty {
        fingerprint = SHA256.hash(request.wireBytes())
      } else if fingerprint.count != SHA256.digestSize {
        throw .invalidField("idempotency_fingerprint", "A fingerprint has 32 bytes.")
      }
      return MailStore.Idempotency(keyHash: SHA256.hash(key.utf8), fingerprint: fingerprint)
    }
  }
}
