public import WireCodec

extension Reports {
  /// Asks for the tenant's report.
  public struct GetSummaryRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.GetSummaryRequest"

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

  /// The tenant's report.
  public struct GetSummaryResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.GetSummaryResponse"

    /// The range as it was taken: both bounds present, each in the form that was asked, dates where it was left open.
    public var range: DateRange?

    /// All that happened up to this instant is in it.
    public var asOf: ProtobufTimestamp?

    /// Users with a connected account now.
    public var totalUsers: Int64 = 0

    /// All successful mails ever.
    public var totalEmailsSent: Int64 = 0

    /// Successful mails of today, in the asked zone.
    public var emailsToday: Int64 = 0

    /// successful / total in the range, 0–1. Absent without outcomes.
    public var successRate: Double?

    /// The users with most successful mails in the range, most first, then by user id: at most 10.
    public var topSenders: [SenderCount] = []

    /// Every day that the range touches, in order, those without mails too.
    public var usageTrends: [UsageDay] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, range)
      w.message(2, asOf)
      w.int64(3, totalUsers)
      w.int64(4, totalEmailsSent)
      w.int64(5, emailsToday)
      w.double(6, successRate)
      w.messages(7, topSenders)
      w.messages(8, usageTrends)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&range)
      case 2: try r.message(&asOf)
      case 3: try r.int64(&totalUsers)
      case 4: try r.int64(&totalEmailsSent)
      case 5: try r.int64(&emailsToday)
      case 6: try r.double(&successRate)
      case 7: try r.messages(&topSenders)
      case 8: try r.messages(&usageTrends)
      default: try r.skip()
      }
    }
  }

  /// A user in the tenant's report.
  public struct SenderCount: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.SenderCount"

    /// The user.
    public var userID = ""

    /// The connected address. Absent: none now.
    public var emailAddress: String?

    /// Successful mails.
    public var count: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, userID)
      w.string(2, emailAddress)
      w.int64(3, count)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&userID)
      case 2: try r.string(&emailAddress)
      case 3: try r.int64(&count)
      default: try r.skip()
      }
    }
  }

  /// A day in the tenant's report.
  public struct UsageDay: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.UsageDay"

    /// The day, `YYYY-MM-DD`.
    public var date = ""

    /// Outcomes: successful + failed + unknown.
    public var total: Int64 = 0

    /// Mails that the provider took.
    public var successful: Int64 = 0

    /// Mails that did not leave.
    public var failed: Int64 = 0

    /// Users with at least one outcome.
    public var activeUsers: Int64 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, date)
      w.int64(2, total)
      w.int64(3, successful)
      w.int64(4, failed)
      w.int64(5, activeUsers)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&date)
      case 2: try r.int64(&total)
      case 3: try r.int64(&successful)
      case 4: try r.int64(&failed)
      case 5: try r.int64(&activeUsers)
      default: try r.skip()
      }
    }
  }
}
