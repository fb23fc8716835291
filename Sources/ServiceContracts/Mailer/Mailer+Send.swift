public import RPCRuntime
public import WireCodec

extension Mailer {
  /// A mail to send.
  public struct SendMessageRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.SendMessageRequest"

    /// The `To` recipients. `to`, `cc` and `bcc` together: 1–500.
    public var to: [Address] = []

    /// The `Cc` recipients.
    public var cc: [Address] = []

    /// The `Bcc` recipients.
    public var bcc: [Address] = []

    /// The subject, at most 998 Unicode scalars, without control characters.
    public var subject = ""

    /// The text. Absent: none; `body` or `html` must be there.
    public var body: String?

    /// The HTML text. Absent: none.
    public var html: String?

    /// The address that it shall leave from. Absent: the connected one; another one is refused.
    public var fromEmail: String?

    /// The name beside that address. Absent: none.
    public var fromName: String?

    /// Where answers go. Empty: to the sender.
    public var replyTo: [Address] = []

    /// Files, at most 100. The whole mail as built is at most 25 MiB.
    public var attachments: [Attachment] = []

    /// Extra headers, in this order.
    public var headers: [Header] = []

    /// The provider's conversation to put it in. Absent: none.
    public var threadID: String?

    /// Who carries it. `unspecified`: Gmail's API.
    public var provider = Provider.unspecified

    /// When it shall leave: at most 365 days ahead; up to 60 s ago means now. Absent: now.
    public var sendAt: ProtobufTimestamp?

    /// What to do when nobody can tell whether it left.
    public var onAmbiguous = AmbiguityPolicy.unspecified

    /// The sender's own pairs, at most 16, kept in the log and given back.
    public var metadata: WireMap = [:]

    /// How long to wait for the outcome, from the call on: 0–60 s. Zero: answer once it is durable. Absent: 30 s. A
    /// scheduled mail is never waited for.
    public var wait: ProtobufDuration?

    /// The caller's name for this very mail, 1–255 printable ASCII characters: within 7 days the same key of the same
    /// user gives the first answer again. Absent: none.
    public var idempotencyKey: String?

    /// What must be equal when the key comes again: SHA-256 over the method, path and body of the REST request. Empty:
    /// the mailer takes a hash over this message's own fields.
    public var idempotencyFingerprint: [UInt8] = []

    /// Adds List-Unsubscribe and List-Unsubscribe-Post (RFC 8058) with a link of our own. The mail must have exactly one
    /// recipient, whom the link takes off.
    public var oneClickUnsubscribe = false

    /// Whose turn it waits for.
    public var priority = Priority.unspecified

    public init() {}

    public var encodedSizeHint: Int {
      let texts = (body?.utf8.count ?? 0) + (html?.utf8.count ?? 0)
      return attachments.reduce(texts + 1024) { $0 + $1.encodedSizeHint }
    }

    public func encode(into w: inout WireWriter) {
      w.messages(1, to)
      w.messages(2, cc)
      w.messages(3, bcc)
      w.string(4, subject)
      w.string(5, body)
      w.string(6, html)
      w.string(7, fromEmail)
      w.string(8, fromName)
      w.messages(9, replyTo)
      w.messages(10, attachments)
      w.messages(11, headers)
      w.string(12, threadID)
      w.enum(13, provider)
      w.message(14, sendAt)
      w.enum(15, onAmbiguous)
      w.map(16, metadata)
      w.message(17, wait)
      w.string(18, idempotencyKey)
      w.bytes(19, idempotencyFingerprint)
      w.bool(20, oneClickUnsubscribe)
      w.enum(21, priority)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&to)
      case 2: try r.messages(&cc)
      case 3: try r.messages(&bcc)
      case 4: try r.string(&subject)
      case 5: try r.string(&body)
      case 6: try r.string(&html)
      case 7: try r.string(&fromEmail)
      case 8: try r.string(&fromName)
      case 9: try r.messages(&replyTo)
      case 10: try r.messages(&attachments)
      case 11: try r.messages(&headers)
      case 12: try r.string(&threadID)
      case 13: try r.enum(&provider)
      case 14: try r.message(&sendAt)
      case 15: try r.enum(&onAmbiguous)
      case 16: try r.map(&metadata)
      case 17: try r.message(&wait)
      case 18: try r.string(&idempotencyKey)
      case 19: try r.bytes(&idempotencyFingerprint)
      case 20: try r.bool(&oneClickUnsubscribe)
      case 21: try r.enum(&priority)
      default: try r.skip()
      }
    }
  }

  /// What became of a mail that is kept.
  public struct SendMessageResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.SendMessageResponse"

    /// Our id.
    public var id = ""

    /// Where it stands: `success`, `failed` or `unknown` when the outcome came in time; else `queued`, `scheduled` or
    /// `sending`.
    public var status = MessageStatus.unspecified

    /// The provider's id of the mail. Present with `success`.
    public var messageID: String?

    /// The provider's id of the conversation. Present with `success`.
    public var threadID: String?

    /// Who carries it.
    public var provider = Provider.unspecified

    /// The address that it leaves from.
    public var fromEmail = ""

    /// When its outcome was known. Present with `success`, `failed` and `unknown`.
    public var sentAt: ProtobufTimestamp?

    /// For when it is scheduled. Present with `scheduled`.
    public var sendAt: ProtobufTimestamp?

    /// Why it did not, or perhaps did not, leave. Present with `failed` and `unknown`.
    public var error: DeliveryError?

    /// This is the answer to an earlier request with the same idempotency key.
    public var replayed = false

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, id)
      w.enum(2, status)
      w.string(3, messageID)
      w.string(4, threadID)
      w.enum(5, provider)
      w.string(6, fromEmail)
      w.message(7, sentAt)
      w.message(8, sendAt)
      w.message(9, error)
      w.bool(10, replayed)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&id)
      case 2: try r.enum(&status)
      case 3: try r.string(&messageID)
      case 4: try r.string(&threadID)
      case 5: try r.enum(&provider)
      case 6: try r.string(&fromEmail)
      case 7: try r.message(&sentAt)
      case 8: try r.message(&sendAt)
      case 9: try r.message(&error)
      case 10: try r.bool(&replayed)
      default: try r.skip()
      }
    }
  }
}
