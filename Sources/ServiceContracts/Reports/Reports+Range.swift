public import WireCodec

extension Reports {
  /// The range of a report.
  public struct DateRange: WireMessage, Hashable {
    public static let wireName = "emailmcp.report.v1.Range"

    /// Its start. Absent: 29 days before the end's day.
    public var start: DateOrTime?

    /// Its end. Absent: the whole of today.
    public var end: DateOrTime?

    /// IANA name of the zone whose days are counted, for instance "Europe/Berlin". Empty: UTC.
    public var timeZone = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, start)
      w.message(2, end)
      w.string(3, timeZone)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&start)
      case 2: try r.message(&end)
      case 3: try r.string(&timeZone)
      default: try r.skip()
      }
    }
  }
}
