public import WireCodec

extension Mailer {
  /// Asks to tell an endpoint something.
  public struct TestWebhookRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.TestWebhookRequest"

    /// Which endpoint.
    public var id = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, id)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&id)
      default: try r.skip()
      }
    }
  }

  /// It will be told.
  public struct TestWebhookResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.TestWebhookResponse"

    /// The `webhook-id` of the event.
    public var eventID = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, eventID)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&eventID)
      default: try r.skip()
      }
    }
  }

  /// One event for one endpoint.
  public struct WebhookDelivery: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.WebhookDelivery"

    /// The `webhook-id`: the same in every attempt.
    public var eventID = ""

    /// What kind of event, for instance "message.success".
    public var type = ""

    /// What it is about, for instance a message's id; one subject's events go in order.
    public var subject = ""

    /// What became of it.
    public var state = WebhookDeliveryState.unspecified

    /// How often it was tried, in all.
    public var attempts: Int32 = 0

    /// When it happened.
    public var createdAt: ProtobufTimestamp?

    /// When it is tried next. Present with PENDING.
    public var nextAttemptAt: ProtobufTimestamp?

    /// When it was delivered or given up. Present with both.
    public var doneAt: ProtobufTimestamp?

    /// The HTTP status of the last answer. Absent: there was none.
    public var lastStatus: Int32?

    /// What was wrong last. Empty: nothing.
    public var lastError = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, eventID)
      w.string(2, type)
      w.string(3, subject)
      w.enum(4, state)
      w.int32(5, attempts)
      w.message(6, createdAt)
      w.message(7, nextAttemptAt)
      w.message(8, doneAt)
      w.int32(9, lastStatus)
      w.string(10, lastError)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&eventID)
      case 2: try r.string(&type)
      case 3: try r.string(&subject)
      case 4: try r.enum(&state)
      case 5: try r.int32(&attempts)
      case 6: try r.message(&createdAt)
      case 7: try r.message(&nextAttemptAt)
      case 8: try r.message(&doneAt)
      case 9: try r.int32(&lastStatus)
      case 10: try r.string(&lastError)
      default: try r.skip()
      }
    }
  }

  /// What became of a delivery.
  public struct WebhookDeliveryState: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// In a filter: any.
    public static let unspecified = Self(rawValue: 0)
    /// It waits, for its first attempt or the next.
    public static let pending = Self(rawValue: 1)
    /// The endpoint has taken it.
    public static let delivered = Self(rawValue: 2)
    /// It was given up.
    public static let dead = Self(rawValue: 3)

    public static let words: [StaticString] = ["pending", "delivered", "dead"]
  }

  /// Asks for a page of deliveries.
  public struct ListWebhookDeliveriesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListWebhookDeliveriesRequest"

    /// Of which endpoint.
    public var webhookID = ""

    /// Only those in this state. UNSPECIFIED: all that are kept: 3 days after delivery, 30 after they were given up.
    public var state = WebhookDeliveryState.unspecified

    /// At most so many, 1-1,000. Zero: 100.
    public var limit: Int32 = 0

    /// `next_cursor` of the page before. Empty: the first page.
    public var cursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, webhookID)
      w.enum(2, state)
      w.int32(3, limit)
      w.string(4, cursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&webhookID)
      case 2: try r.enum(&state)
      case 3: try r.int32(&limit)
      case 4: try r.string(&cursor)
      default: try r.skip()
      }
    }
  }

  /// A page of deliveries.
  public struct ListWebhookDeliveriesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListWebhookDeliveriesResponse"

    /// The newest first.
    public var deliveries: [WebhookDelivery] = []

    /// What to ask for the next page with. Empty: this was the last.
    public var nextCursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.messages(1, deliveries)
      w.string(2, nextCursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&deliveries)
      case 2: try r.string(&nextCursor)
      default: try r.skip()
      }
    }
  }

  /// Asks to tell again.
  public struct ReplayWebhookDeliveriesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ReplayWebhookDeliveriesRequest"

    /// Which endpoint.
    public var webhookID = ""

    /// One event, whatever became of it. Absent: all that was given up.
    public var eventID: String?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, webhookID)
      w.string(2, eventID)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&webhookID)
      case 2: try r.string(&eventID)
      default: try r.skip()
      }
    }
  }

  /// They wait again.
  public struct ReplayWebhookDeliveriesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ReplayWebhookDeliveriesResponse"

    /// How many.
    public var replayed: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int64(1, replayed)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int64(&replayed)
      default: try r.skip()
      }
    }
  }
}
