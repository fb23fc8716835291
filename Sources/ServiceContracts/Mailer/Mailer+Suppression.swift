public import WireCodec

extension Mailer {
  /// An entry of a tenant's suppression list.
  public struct Suppression: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.Suppression"

    /// An address, or a domain, which stands for the domains below it too; lower case, the domain in ASCII.
    public var entry = ""

    /// The platform's note. Empty: none.
    public var reason = ""

    /// Who put it there.
    public var source = SuppressionSource.unspecified

    /// When.
    public var createdAt: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, entry)
      w.string(2, reason)
      w.enum(3, source)
      w.message(4, createdAt)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&entry)
      case 2: try r.string(&reason)
      case 3: try r.enum(&source)
      case 4: try r.message(&createdAt)
      default: try r.skip()
      }
    }
  }

  /// Who put an entry on the list.
  public struct SuppressionSource: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Never.
    public static let unspecified = Self(rawValue: 0)
    /// The platform or its operator.
    public static let platform = Self(rawValue: 1)
    /// The recipient, by a one-click link.
    public static let unsubscribe = Self(rawValue: 2)

    public static let words: [StaticString] = ["platform", "unsubscribe"]
  }

  /// An entry for the list.
  public struct AddSuppressionRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.AddSuppressionRequest"

    /// An address or a domain.
    public var entry = ""

    /// A note, at most 255 characters.
    public var reason = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, entry)
      w.string(2, reason)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&entry)
      case 2: try r.string(&reason)
      default: try r.skip()
      }
    }
  }

  /// It is on the list.
  public struct AddSuppressionResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.AddSuppressionResponse"

    /// As it stands there.
    public var suppression: Suppression?

    /// It was not there before.
    public var added = false

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, suppression)
      w.bool(2, added)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&suppression)
      case 2: try r.bool(&added)
      default: try r.skip()
      }
    }
  }

  /// Asks for a page of the list.
  public struct ListSuppressionsRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListSuppressionsRequest"

    /// At most so many, 1–1,000. Zero: 100.
    public var limit: Int32 = 0

    /// `next_cursor` of the page before. Empty: the first page.
    public var cursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int32(1, limit)
      w.string(2, cursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int32(&limit)
      case 2: try r.string(&cursor)
      default: try r.skip()
      }
    }
  }

  /// A page of the list.
  public struct ListSuppressionsResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListSuppressionsResponse"

    /// By entry.
    public var suppressions: [Suppression] = []

    /// What to ask for the next page with. Empty: this was the last.
    public var nextCursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.messages(1, suppressions)
      w.string(2, nextCursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&suppressions)
      case 2: try r.string(&nextCursor)
      default: try r.skip()
      }
    }
  }

  /// Asks to take an entry off.
  public struct RemoveSuppressionRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.RemoveSuppressionRequest"

    /// The address or domain.
    public var entry = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, entry)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&entry)
      default: try r.skip()
      }
    }
  }

  /// It is off the list.
  public struct RemoveSuppressionResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.RemoveSuppressionResponse"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// A click on a link.
  public struct UnsubscribeRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.UnsubscribeRequest"

    /// The link's last segment.
    public var token = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, token)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&token)
      default: try r.skip()
      }
    }
  }

  /// The recipient is on the list.
  public struct UnsubscribeResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.UnsubscribeResponse"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }
}
