import CivilTime

/// A row of an export.
struct ExportRow: Hashable, Sendable {
  var id: String
  var messageID: String?
  var threadID: String?
  var status: String
  var errorCode: String?
  var fromEmail: String
  var to: [String]
  var subject: String
  var createdAt: Timestamp
  var sentAt: Timestamp?
  var attempts: Int64
}
