public import WireCodec

/// One mail as the log shows it. Bodies and attachments are not kept after the outcome and are never part of it.
public struct MessageRecord: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.Message"

  /// Our id, a UUIDv7 in its canonical text form.
  public var id = ""

  /// The provider's id of the mail; absent until it has one.
  public var messageID: String?

  /// The provider's id of the conversation; absent until it has one.
  public var threadID: String?

  /// The connected address that it leaves from.
  public var fromEmail = ""

  /// Addresses of the `To` recipients.
  public var to: [String] = []

  /// Addresses of the `Cc` recipients.
  public var cc: [String] = []

  /// Addresses of the `Bcc` recipients.
  public var bcc: [String] = []

  /// The subject, decoded.
  public var subject = ""

  /// Where it stands.
  public var status = MessageStatus.unspecified

  /// Set with status `failed` and `unknown`, and while a parked mail waits for a reconnect.
  public var error: DeliveryError?

  /// When it was accepted.
  public var createdAt: ProtobufTimestamp?

  /// When its outcome was known; absent before that.
  public var sentAt: ProtobufTimestamp?

  /// For when it was scheduled; absent for a mail that was to leave at once.
  public var sendAt: ProtobufTimestamp?

  /// How often it was handed to the provider so far.
  public var attempts: Int32 = 0

  /// Who carries it.
  public var provider = Provider.unspecified

  /// The sender's own pairs, as given.
  public var metadata: WireMap = [:]

  /// What happened to it, oldest first. Filled by Mailer.GetMessage alone.
  public var timeline: [TimelineEvent] = []

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.string(1, id)
    w.string(2, messageID)
    w.string(3, threadID)
    w.string(4, fromEmail)
    w.strings(5, to)
    w.strings(6, cc)
    w.strings(7, bcc)
    w.string(8, subject)
    w.enum(9, status)
    w.message(10, error)
    w.message(11, createdAt)
    w.message(12, sentAt)
    w.message(13, sendAt)
    w.int32(14, attempts)
    w.enum(15, provider)
    w.map(16, metadata)
    w.messages(17, timeline)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&id)
    case 2: try r.string(&messageID)
    case 3: try r.string(&threadID)
    case 4: try r.string(&fromEmail)
    case 5: try r.strings(&to)
    case 6: try r.strings(&cc)
    case 7: try r.strings(&bcc)
    case 8: try r.string(&subject)
    case 9: try r.enum(&status)
    case 10: try r.message(&error)
    case 11: try r.message(&createdAt)
    case 12: try r.message(&sentAt)
    case 13: try r.message(&sendAt)
    case 14: try r.int32(&attempts)
    case 15: try r.enum(&provider)
    case 16: try r.map(&metadata)
    case 17: try r.messages(&timeline)
    default: try r.skip()
    }
  }
}

/// Why a mail was not, or perhaps not, delivered.
public struct DeliveryError: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.DeliveryError"

  /// Stable snake_case word, the same as the REST `code` and the reason of an ErrorInfo: "gmail_rejected",
  /// "outcome_unknown", "reauth_required", "gmail_rate_limited", …
  public var code = ""

  /// One sentence to show to a person. Holds no token and no address of a third person.
  public var message = ""

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.string(1, code)
    w.string(2, message)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&code)
    case 2: try r.string(&message)
    default: try r.skip()
    }
  }
}
