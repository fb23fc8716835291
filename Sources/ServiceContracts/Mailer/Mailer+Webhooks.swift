public import RPCRuntime
public import WireCodec

extension Mailer {
  /// Where a tenant's webhooks go.
  public struct Webhook: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.Webhook"

    /// Its id: `we_` and 24 hexadecimal digits.
    public var id = ""

    /// An https URL, without user name and fragment, at most 2,048 bytes.
    public var url = ""

    /// Of a message's statuses it is told only the last.
    public var finalOnly = false

    /// It is told what happens. It is not once it has answered 410.
    public var enabled = false

    /// When it was made.
    public var createdAt: ProtobufTimestamp?

    /// Until when the secret before the present one signs too. Absent: it does not.
    public var previousSecretUntil: ProtobufTimestamp?

    /// Deliveries that wait, counted to 100,000.
    public var pending: Int64 = 0

    /// Deliveries that were given up, counted to 100,000.
    public var dead: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, id)
      w.string(2, url)
      w.bool(3, finalOnly)
      w.bool(4, enabled)
      w.message(5, createdAt)
      w.message(6, previousSecretUntil)
      w.int64(7, pending)
      w.int64(8, dead)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&id)
      case 2: try r.string(&url)
      case 3: try r.bool(&finalOnly)
      case 4: try r.bool(&enabled)
      case 5: try r.message(&createdAt)
      case 6: try r.message(&previousSecretUntil)
      case 7: try r.int64(&pending)
      case 8: try r.int64(&dead)
      default: try r.skip()
      }
    }
  }

  /// An endpoint to make.
  public struct CreateWebhookRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.CreateWebhookRequest"

    /// Where to.
    public var url = ""

    /// Of a message's statuses only the last.
    public var finalOnly = false

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, url)
      w.bool(2, finalOnly)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&url)
      case 2: try r.bool(&finalOnly)
      default: try r.skip()
      }
    }
  }

  /// It is made.
  public struct CreateWebhookResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.CreateWebhookResponse"

    /// As it stands.
    public var webhook: Webhook?

    /// What its webhooks are signed with, `whsec_` and base64: told now and never again.
    public var secret = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, webhook)
      w.string(2, secret)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&webhook)
      case 2: try r.string(&secret)
      default: try r.skip()
      }
    }
  }

  /// Asks for all endpoints.
  public struct ListWebhooksRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListWebhooksRequest"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// All endpoints, the oldest first: at most 16.
  public struct ListWebhooksResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListWebhooksResponse"

    /// Them.
    public var webhooks: [Webhook] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.messages(1, webhooks)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&webhooks)
      default: try r.skip()
      }
    }
  }

  /// Asks for one endpoint.
  public struct GetWebhookRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetWebhookRequest"

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

  /// There it is.
  public struct GetWebhookResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetWebhookResponse"

    /// As it stands.
    public var webhook: Webhook?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, webhook)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&webhook)
      default: try r.skip()
      }
    }
  }

  /// What shall be otherwise.
  public struct UpdateWebhookRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.UpdateWebhookRequest"

    /// Which endpoint.
    public var id = ""

    /// Where to. Absent: as it is.
    public var url: String?

    /// Of a message's statuses only the last. Absent: as it is.
    public var finalOnly: Bool?

    /// Whether it is told what happens. Absent: as it is.
    public var enabled: Bool?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, id)
      w.string(2, url)
      w.bool(3, finalOnly)
      w.bool(4, enabled)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&id)
      case 2: try r.string(&url)
      case 3: try r.bool(&finalOnly)
      case 4: try r.bool(&enabled)
      default: try r.skip()
      }
    }
  }

  /// It is otherwise.
  public struct UpdateWebhookResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.UpdateWebhookResponse"

    /// As it stands now.
    public var webhook: Webhook?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, webhook)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&webhook)
      default: try r.skip()
      }
    }
  }

  /// Asks for a new secret.
  public struct RotateWebhookSecretRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.RotateWebhookSecretRequest"

    /// Which endpoint.
    public var id = ""

    /// How long the old one signs too, at most 7 days. Absent: 24 hours.
    public var overlap: ProtobufDuration?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, id)
      w.message(2, overlap)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&id)
      case 2: try r.message(&overlap)
      default: try r.skip()
      }
    }
  }

  /// The new secret.
  public struct RotateWebhookSecretResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.RotateWebhookSecretResponse"

    /// Told now and never again.
    public var secret = ""

    /// Until when the old one signs too.
    public var previousSecretUntil: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, secret)
      w.message(2, previousSecretUntil)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&secret)
      case 2: try r.message(&previousSecretUntil)
      default: try r.skip()
      }
    }
  }

  /// Asks to remove an endpoint.
  public struct DeleteWebhookRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.DeleteWebhookRequest"

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

  /// It is removed.
  public struct DeleteWebhookResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.DeleteWebhookResponse"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }
}
