import PostgresClient

/// What a user may still send, as the database has it.
extension MailStore {
  /// Mails are counted no further.
  static let mostCounted = 100_000

  struct UserCapacity: Sendable {
    /// Of the account, as `user_email_accounts` has it.
    var status: String
    var mailbox: MailboxCapacity.State
    var pausedReason: String?
    var waiting: Int64
    var scheduled: Int64
    var parked: Int64
    var backlog: QueueForecast.Backlog
  }

  /// Nil: this user never had an account.
  func capacity(of user: UserKey) async throws -> UserCapacity? {
    let rows = try await searches.queryApart(
      """
      SELECT status, wait, debt, credit, paused_reason, day_limit, day_used, day_frees, waiting, scheduled, parked,
        backlog, backlog_recipients, coalesce(oldest_age, 0), finished, over,
        coalesce((SELECT emailmcp.pace_share(m.share, m.share_at, clock_timestamp())
          FROM user_email_accounts a JOIN mailboxes m ON m.google_sub = a.google_sub
          WHERE a.tenant_id = $1 AND a.user_id = $2 AND a.provider = 'gmail_api'), 1)
      FROM emailmcp.user_capacity($1, $2, $3, $4, $5, $6)
      """,
      [
        .text(user.tenantID), .text(user.userID), .seconds(pace.interval), .int4(Int32(pace.burst)),
        .int4(pace.dailyRecipients), .int4(Int32(Self.mostCounted)),
      ], tenant: user.tenantID)
    guard let row = rows.first else { return nil }
    func seconds(_ column: Int) throws -> Duration { .seconds(try row.column(column, as: Double.self)) }
    var mailbox = MailboxCapacity.State(
      wait: try seconds(1), debt: try seconds(2), credit: try row[3], dayLimit: try row[5], dayUsed: try row[6],
      dayFrees: try row.column(7, as: Double?.self).map { .seconds($0) }, share: try row[16])
    // A limit that Gmail has taught ends with its pause, whatever of the day is used.
    if mailbox.dayLimit < Int(pace.dailyRecipients), mailbox.wait > .zero {
      mailbox.dayFrees = mailbox.dayFrees.map { min($0, mailbox.wait) }
    }
    let backlog = QueueForecast.Backlog(
      mails: try row[11], recipients: try row[12], oldest: try seconds(13), finished: try row[14],
      window: try seconds(15))
    return UserCapacity(
      status: try row[0], mailbox: mailbox, pausedReason: try row[4], waiting: try row[8], scheduled: try row[9],
      parked: try row[10], backlog: backlog)
  }
}
