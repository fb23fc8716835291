public import WireCodec

extension Mailer {
  /// Asks for one mail.
  public struct GetMessageRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetMessageRequest"

    /// Our id.
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

  /// One mail.
  public struct GetMessageResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetMessageResponse"

    /// The mail, with its timeline.
    public var message: MessageRecord?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, message)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&message)
      default: try r.skip()
      }
    }
  }

  /// Asks for a page of the log.
  public struct ListMessagesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListMessagesRequest"

    /// Only mails that stand here. `unspecified`: any.
    public var status = MessageStatus.unspecified

    /// Only mails with this recipient's address, case-insensitive. Absent: any.
    public var to: String?

    /// Only mails with this inside their subject, case-insensitive. Absent: any.
    public var subject: String?

    /// Only mails accepted at or after this. A date is one in UTC. Absent: from the beginning.
    public var start: DateOrTime?

    /// Only mails accepted before this; a date, in UTC, includes its whole day. Absent: up to now.
    public var end: DateOrTime?

    /// The largest number of mails in the page, 1–200. Zero: 50.
    public var limit: Int32 = 0

    /// The `next_cursor` of the page before, with an otherwise equal request. Empty: the first page.
    public var cursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.enum(1, status)
      w.string(2, to)
      w.string(3, subject)
      w.message(4, start)
      w.message(5, end)
      w.int32(6, limit)
      w.string(7, cursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.enum(&status)
      case 2: try r.string(&to)
      case 3: try r.string(&subject)
      case 4: try r.message(&start)
      case 5: try r.message(&end)
      case 6: try r.int32(&limit)
      case 7: try r.string(&cursor)
      default: try r.skip()
      }
    }
  }

  /// A page of the log, newest first.
  public struct ListMessagesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ListMessagesResponse"

    /// The mails, without timelines.
    public var messages: [MessageRecord] = []

    /// What to ask for the next page with. Empty: this was the last.
    public var nextCursor = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.messages(1, messages)
      w.string(2, nextCursor)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.messages(&messages)
      case 2: try r.string(&nextCursor)
      default: try r.skip()
      }
    }
  }

  /// Asks to take back a mail.
  public struct CancelMessageRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.CancelMessageRequest"

    /// Our id.
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

  /// Taken back.
  public struct CancelMessageResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.CancelMessageResponse"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }
}
