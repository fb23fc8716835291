import CivilTime
import PostgresClient
import ServiceContracts

/// Reading the log.
extension MailStore {
  func message(_ key: MailKey, timeline: Bool = false) async throws -> MessageRow? {
    let rows = try await pool.query(
      """
      SELECT l.id, l.user_id, l.created_at, l.from_email, l.to_emails, l.cc_emails, l.bcc_emails, l.subject, l.status,
        l.message_id, l.thread_id, l.error_code, l.error_message, l.attempts, l.send_at, l.sent_at, l.metadata, l.timeline
      FROM email_logs l WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND created_at = $4
      """, key.parameters, tenant: key.tenantID)
    return try rows.first.map { try MessageRow($0, timeline: timeline) }
  }

  struct KnownKey {
    var fingerprint: [UInt8]
    /// The first answer said "accepted", whatever became of the mail.
    var wasAccepted: Bool
    var message: MessageRow?
  }

  /// What an idempotency key stands for.
  func known(_ idempotency: Idempotency, of user: UserKey) async throws -> KnownKey? {
    let rows = try await pool.query(
      """
      SELECT fingerprint, response_status, message_id FROM idempotency_keys
      WHERE tenant_id = $1 AND user_id = $2 AND route = 'messages' AND key_hash = $3 AND expires_at > now()
      """, [.text(user.tenantID), .text(user.userID), .bytes(idempotency.keyHash)], tenant: user.tenantID)
    guard let row = rows.first else { return nil }
    let status: Int? = try row[1]
    var known = KnownKey(fingerprint: try row[0], wasAccepted: status == 202, message: nil)
    if let id: UniqueID = try row[2] {
      known.message = try await message(MailKey(tenantID: user.tenantID, userID: user.userID, id: id))
    }
    return known
  }

  /// Notes that the answer was "accepted": the caller's patience ended before the outcome.
  func noteAccepted(_ idempotency: Idempotency, of user: UserKey) async throws {
    try await pool.query(
      """
      UPDATE idempotency_keys SET response_status = 202
      WHERE tenant_id = $1 AND user_id = $2 AND route = 'messages' AND key_hash = $3
      """, [.text(user.tenantID), .text(user.userID), .bytes(idempotency.keyHash)], tenant: user.tenantID)
  }

  struct Search {
    var status: String?
    /// Lower case.
    var recipient: String?
    var subject: String?
    var start: Timestamp?
    var end: Timestamp?
    var before: (createdAt: Timestamp, id: UniqueID)?
    var limit: Int
  }

  /// Newest first; one row more than `limit` when there are more.
  func list(_ search: Search, of user: UserKey) async throws -> [MessageRow] {
    var conditions = ["l.tenant_id = $1", "l.user_id = $2"]
    var parameters: [PostgresValue] = [.text(user.tenantID), .text(user.userID)]
    func add(_ condition: (String) -> String, _ value: PostgresValue) {
      parameters.append(value)
      conditions.append(condition("$\(parameters.count)"))
    }
    if let status = search.status { add({ "l.status = \($0)" }, .text(status)) }
    if let recipient = search.recipient {
      add(
        {
          """
          EXISTS (SELECT FROM jsonb_array_elements_text(l.to_emails || l.cc_emails || l.bcc_emails) AS e
            WHERE lower(e) = \($0))
          """
        }, .text(recipient))
    }
    if let subject = search.subject {
      add({ "l.subject ILIKE \($0)" }, .text("%\(Self.literalPattern(subject))%"))
    }
    if let start = search.start { add({ "l.created_at >= \($0)" }, .timestamp(start)) }
    if let end = search.end { add({ "l.created_at < \($0)" }, .timestamp(end)) }
    if let before = search.before {
      parameters.append(.timestamp(before.createdAt))
      parameters.append(.uuid(before.id))
      conditions.append("(l.created_at, l.id) < ($\(parameters.count - 1), $\(parameters.count))")
    }
    parameters.append(.int(search.limit + 1))
    let sql = """
      SELECT \(MessageRow.columns) FROM email_logs l WHERE \(conditions.joined(separator: " AND "))
      ORDER BY l.created_at DESC, l.id DESC LIMIT $\(parameters.count)
      """
    return try await searches.queryApart(Statement(composed: sql), parameters, tenant: user.tenantID).map {
      try MessageRow($0)
    }
  }

  /// For LIKE: its wildcards taken literally.
  private static func literalPattern(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      if character == "\\" || character == "%" || character == "_" { result += "\\" }
      result.unicodeScalars.append(character)
    }
    return result
  }
}
