import CivilTime
import PostgresClient

/// Which mail: its tenant, its user, and its id, whose time is the log's partition.
struct MailKey: Sendable {
  var tenantID: String
  var userID: String
  var id: UniqueID

  var createdAt: Timestamp { id.time }
  var user: UserKey { UserKey(tenantID: tenantID, userID: userID) }

  /// The first parameters of every function of the database that takes a mail.
  var parameters: [PostgresValue] {
    [.text(tenantID), .text(userID), .uuid(id), .timestamp(createdAt)]
  }
}

/// A user of a tenant, told from others by its bytes: Swift's strings take two spellings of one character for equal.
struct UserKey: Hashable, Sendable {
  let tenantID: String
  let userID: String

  static func == (a: UserKey, b: UserKey) -> Bool {
    a.tenantID.utf8.elementsEqual(b.tenantID.utf8) && a.userID.utf8.elementsEqual(b.userID.utf8)
  }

  func hash(into hasher: inout Hasher) {
    for text in [tenantID, userID] {
      text.utf8Span.span.withUnsafeBytes { hasher.combine(bytes: $0) }
      hasher.combine(UInt8(0xFF))
    }
  }
}
