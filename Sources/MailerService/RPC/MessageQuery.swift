import CivilTime
import MailSyntax
import RPCRuntime
import ServiceContracts
import WireCodec
import TLSSession

/// A page of the log that is asked for: the filter, and where the page before ended.
struct MessageQuery {
  static let defaultLimit = 50
  static let longestPage = 200

  private(set) var search: MailStore.Search
  private let binding: [UInt8]

  init(_ request: Mailer.ListMessagesRequest, user: UserKey) throws(RPCError) {
    let limit = request.limit == 0 ? Self.defaultLimit : Int(request.limit)
    guard 1...Self.longestPage ~= limit else {
      throw .invalidField("limit", "A page has 1 to \(Self.longestPage) messages.")
    }
    guard request.status.isKnown else { throw .invalidField("status", "There is no such status.") }
    // NUL stands in no text that Postgres keeps.
    for (field, text) in [("to", request.to), ("subject", request.subject)] {
      guard let text else { continue }
      guard text.utf8.count <= 4096, !text.utf8.contains(0) else { throw .invalidField(field, "This is not a filter.") }
    }
    search = MailStore.Search(
      status: request.status.word, recipient: request.to.map(Self.addressKey), subject: request.subject,
      start: try Self.bound(request.start, field: "start_date", isEnd: false),
      end: try Self.bound(request.end, field: "end_date", isEnd: true), before: nil, limit: limit)
    // A day whose end is where the range begins lies before it.
    var endsInDay = false
    if case .date = request.end?.value { endsInDay = true }
    if let start = search.start, let end = search.end, end < start || endsInDay && end == start {
      throw .invalidField("end_date", "This lies before start_date.")
    }
    binding = Self.binding(request, user)
    if !request.cursor.isEmpty { search.before = try position(in: request.cursor) }
  }

  private static func addressKey(_ text: String) -> String { (try? MailAddress(text))?.key ?? text.lowercased() }

  private static func bound(_ bound: DateOrTime?, field: String, isEnd: Bool) throws(RPCError) -> Timestamp? {
    switch bound?.value {
    case nil: return nil
    case .time(let time):
      guard let time = time.timestamp else { throw .invalidField(field, "This is not a time.") }
      return time
    case .date(let text):
      guard let date = CivilDate(text) else { throw .invalidField(field, "This is not a date such as 2026-11-22.") }
      return Timestamp(startOf: isEnd ? date.adding(days: 1) : date)
    }
  }

  // MARK: Cursors

  /// A cursor is good for the same user and the same filter only.
  private static func binding(_ request: Mailer.ListMessagesRequest, _ user: UserKey) -> [UInt8] {
    var request = request
    (request.cursor, request.limit) = ("", 0)
    var hash = SHA256()
    for text in [user.tenantID, user.userID] {
      hash.update(text.utf8)
      hash.update([0])
    }
    hash.update(request.wireBytes())
    return Array(hash.finalize().prefix(8))
  }

  /// 8 bytes that bind it, 8 of the time, 16 of the id.
  func cursor(after row: MessageRow) -> String {
    var bytes = binding
    for word in [UInt64(bitPattern: row.createdAt.microseconds), row.id.high, row.id.low] {
      for shift in stride(from: 56, through: 0, by: -8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    return Base64.encode(bytes, .urlSafe)
  }

  private func position(in cursor: String) throws(RPCError) -> (createdAt: Timestamp, id: UniqueID) {
    guard let bytes = Base64.decode(cursor, .urlSafe), bytes.count == 32, Array(bytes.prefix(8)) == binding else {
      throw .invalidCursor
    }
    func word(_ start: Int) -> UInt64 { bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    let createdAt = Timestamp(microseconds: Int64(bitPattern: word(8)))
    // The database would refuse what is far outside.
    guard Timestamp.sayable.contains(createdAt) else { throw .invalidCursor }
    return (createdAt, UniqueID(high: word(16), low: word(24)))
  }
}
