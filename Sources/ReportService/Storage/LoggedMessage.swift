import CivilTime
import WireCodec
import PostgresClient
import ServiceContracts

/// A row of the log as the contract shows it. The columns are those of `UserReportQuery`'s recent messages.
enum LoggedMessage {
  static func record(_ row: PostgresRow) throws -> MessageRecord {
    let id: UniqueID = try row[0]
    let (code, message): (String?, String?) = (try row[9], try row[10])
    let (keys, values): (PostgresArray<String>, PostgresArray<String>) = (try row[16], try row[17])
    return try MessageRecord {
      $0.id = id.description
      $0.messageID = try row[1]
      $0.threadID = try row[2]
      $0.fromEmail = try row[3]
      $0.to = try row.column(4, as: PostgresArray<String>.self).values
      $0.cc = try row.column(5, as: PostgresArray<String>.self).values
      $0.bcc = try row.column(6, as: PostgresArray<String>.self).values
      $0.subject = try row[7]
      $0.status = MessageStatus(word: try row.column(8, as: String.self)) ?? .unspecified
      if let code {
        $0.error = DeliveryError {
          $0.code = code
          $0.message = message ?? ""
        }
      }
      $0.createdAt = ProtobufTimestamp(try row[11])
      $0.sentAt = .init(try row[12])
      $0.sendAt = .init(try row[13])
      $0.attempts = Int32(clamping: try row.column(14, as: Int64.self))
      $0.provider = Provider(word: try row.column(15, as: String.self)) ?? .unspecified
      $0.metadata = .init(zip(keys.values, values.values))
    }
  }
}
