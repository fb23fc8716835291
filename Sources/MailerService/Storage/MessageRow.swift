import CivilTime
import PostgresClient
import RPCRuntime
import ServiceContracts
import WireCodec
import StrictJSON

/// A row of the log.
struct MessageRow {
  /// In the order in which `init` reads them.
  static let columns = """
    l.id, l.user_id, l.created_at, l.from_email, l.to_emails, l.cc_emails, l.bcc_emails, l.subject, l.status,
    l.message_id, l.thread_id, l.error_code, l.error_message, l.attempts, l.send_at, l.sent_at, l.metadata, l.timeline
    """
  static let columnCount = 18

  let id: UniqueID
  let userID: String
  let createdAt: Timestamp
  let record: MessageRecord

  init(_ row: PostgresRow, timeline: Bool = false) throws {
    id = try row[0]
    userID = try row[1]
    createdAt = try row[2]
    var record = MessageRecord()
    record.id = id.description
    record.createdAt = ProtobufTimestamp(createdAt)
    record.fromEmail = try row[3]
    record.to = try Self.strings(row[4])
    record.cc = try Self.strings(row[5])
    record.bcc = try Self.strings(row[6])
    record.subject = try row[7]
    record.status = try MessageStatus(word: row.column(8, as: String.self)) ?? .unspecified
    record.messageID = try row[9]
    record.threadID = try row[10]
    if let code: String = try row[11] {
      let message: String? = try row[12]
      record.error = DeliveryError {
        $0.code = code
        $0.message = message ?? ""
      }
    }
    record.attempts = Int32(try row.column(13, as: Int.self))
    record.sendAt = ProtobufTimestamp?(try row.column(14, as: Timestamp?.self))
    record.sentAt = ProtobufTimestamp?(try row.column(15, as: Timestamp?.self))
    record.provider = .gmailAPI
    record.metadata = try Self.metadata(row[16])
    if timeline { record.timeline = try Self.timeline(row[17]) }
    self.record = record
  }

  /// Whether nothing more will happen to it.
  var isFinal: Bool {
    [.success, .failed, .unknown, .cancelled].contains(record.status)
  }

  // MARK: JSON

  private static func value(_ bytes: [UInt8]) throws -> JSONValue {
    var limits = JSONLimits()
    limits.maximumBytes = 4 << 20
    return try JSONValue(parsing: bytes, limits: limits)
  }

  private static func strings(_ bytes: [UInt8]) throws -> [String] {
    guard bytes.count > 2 else { return [] }
    return try value(bytes).arrayValue?.compactMap(\.stringValue) ?? []
  }

  private static func metadata(_ bytes: [UInt8]) throws -> WireMap {
    guard bytes.count > 2 else { return [:] }
    let members = try value(bytes).objectValue?.members ?? []
    return WireMap(members.compactMap { member in member.value.stringValue.map { (member.name, $0) } })
  }

  private static func timeline(_ bytes: [UInt8]) throws -> [TimelineEvent] {
    (try value(bytes).arrayValue ?? []).map { entry in
      TimelineEvent {
        $0.at = ProtobufTimestamp?(entry["at"]?.stringValue.flatMap { Timestamp(rfc3339: $0) })
        $0.event = entry["event"]?.stringValue.flatMap { TimelineEvent.Kind(word: $0) } ?? .unspecified
        $0.detail = entry["detail"]?.stringValue
      }
    }
  }
}
