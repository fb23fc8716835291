public import WireCodec

extension Reports {
  /// Asks for a user's report.
  public struct GetUserReportRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.GetUserReportRequest"

    /// The range. Absent: the last 30 days in UTC.
    public var range: DateRange?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, range)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&range)
      default: try r.skip()
      }
    }
  }

  /// A user's report.
  public struct GetUserReportResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.GetUserReportResponse"

    /// The user.
    public var userID = ""

    /// The range as it was taken: both bounds present, each in the form that was asked, dates where it was left open.
    public var range: DateRange?

    /// The instant of the snapshot that it was read from.
    public var asOf: ProtobufTimestamp?

    /// Outcomes in the range: successful + failed + unknown.
    public var totalEmails: Int64 = 0

    /// Mails that the provider took.
    public var successfulEmails: Int64 = 0

    /// Mails that did not leave.
    public var failedEmails: Int64 = 0

    /// Mails of which nobody knows.
    public var unknownEmails: Int64 = 0

    /// Mails accepted in the range and not final now.
    public var pendingEmails: Int64 = 0

    /// successful / total, 0–1. Absent without outcomes.
    public var successRate: Double?

    /// Every day that the range touches, in order, those without mails too.
    public var emailsByDay: [DayCount] = []

    /// Those who got most successful mails, most first, then by address: at most 10.
    public var topRecipients: [RecipientCount] = []

    /// The newest mails accepted in the range, newest first, in any status: at most 10.
    public var recentEmails: [MessageRecord] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, userID)
      w.message(2, range)
      w.message(3, asOf)
      w.int64(4, totalEmails)
      w.int64(5, successfulEmails)
      w.int64(6, failedEmails)
      w.int64(7, unknownEmails)
      w.int64(8, pendingEmails)
      w.double(9, successRate)
      w.messages(10, emailsByDay)
      w.messages(11, topRecipients)
      w.messages(12, recentEmails)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&userID)
      case 2: try r.message(&range)
      case 3: try r.message(&asOf)
      case 4: try r.int64(&totalEmails)
      case 5: try r.int64(&successfulEmails)
      case 6: try r.int64(&failedEmails)
      case 7: try r.int64(&unknownEmails)
      case 8: try r.int64(&pendingEmails)
      case 9: try r.double(&successRate)
      case 10: try r.messages(&emailsByDay)
      case 11: try r.messages(&topRecipients)
      case 12: try r.messages(&recentEmails)
      default: try r.skip()
      }
    }
  }

  /// A day in a user's report.
  public struct DayCount: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.DayCount"

    /// The day, `YYYY-MM-DD`.
    public var date = ""

    /// Outcomes: successful + failed + unknown.
    public var total: Int64 = 0

    /// Mails that the provider took.
    public var successful: Int64 = 0

    /// Mails that did not leave.
    public var failed: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, date)
      w.int64(2, total)
      w.int64(3, successful)
      w.int64(4, failed)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&date)
      case 2: try r.int64(&total)
      case 3: try r.int64(&successful)
      case 4: try r.int64(&failed)
      default: try r.skip()
      }
    }
  }

  /// A recipient in a user's report.
  public struct RecipientCount: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.RecipientCount"

    /// The address, lower-cased.
    public var email = ""

    /// Successful mails that named it in To, Cc or Bcc.
    public var count: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, email)
      w.int64(2, count)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&email)
      case 2: try r.int64(&count)
      default: try r.skip()
      }
    }
  }
}
