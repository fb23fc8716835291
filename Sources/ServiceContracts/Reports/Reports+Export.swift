public import WireCodec

extension Reports {
  /// Forms of an export.
  public struct ExportFormat: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Not said: CSV.
    public static let unspecified = Self(rawValue: 0)
    /// RFC 4180 with a header line; cells that a spreadsheet would run are disarmed.
    public static let csv = Self(rawValue: 1)
    /// One JSON object a line.
    public static let ndjson = Self(rawValue: 2)

    public static let words: [StaticString] = ["csv", "ndjson"]
  }

  /// Asks for the rows.
  public struct ExportMessagesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.ExportMessagesRequest"

    /// The range. Absent: the last 30 days in UTC.
    public var range: DateRange?

    /// The form.
    public var format = ExportFormat.unspecified

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, range)
      w.enum(2, format)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&range)
      case 2: try r.enum(&format)
      default: try r.skip()
      }
    }
  }

  /// A piece of the export.
  public struct ExportMessagesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.ExportMessagesResponse"

    /// UTF-8, whole lines each with its end. The columns: id, message_id, thread_id, status, error_code, from_email,
    /// to, subject, created_at, sent_at, attempts.
    public var content: [UInt8] = []

    public init() {}

    public var encodedSizeHint: Int { content.count + 16 }

    public func encode(into w: inout WireWriter) {
      w.bytes(1, content)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.bytes(&content)
      default: try r.skip()
      }
    }
  }
}
