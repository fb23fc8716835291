import PostgresClient

/// What reports read beside the log itself, recomputed from the log. It holds nothing that the log does not.
struct Rollups {
  private let session: BlockingSession
  private let allTenants: Tenants

  init(url: String) throws {
    session = try BlockingSession(url: url)
    allTenants = Tenants(session)
  }

  func tenants() throws -> [String] { try allTenants.list().map(\.name) }

  /// One transaction: readers see the old figures or the new ones. Writers of outcomes wait for its end, so that none is
  /// counted twice or not at all.
  ///
  /// - Returns: how many mails were counted.
  func rebuild(_ tenant: String) throws -> Int {
    try session.transaction(tenant: tenant) {
      try allTenants.requireTenant(tenant)
      try session.execute(
        """
        LOCK TABLE email_stats_15m, email_recipients_day, platform_total_deltas, platform_totals_15m, platform_totals
          IN SHARE ROW EXCLUSIVE MODE
        """)
      for table in [
        "email_stats_15m", "email_recipients_day", "platform_total_deltas", "platform_totals_15m", "platform_totals",
      ] {
        try session.execute("DELETE FROM \(table) WHERE tenant_id = $1", [tenant])
      }
      for statement in Self.statements { try session.execute(statement, [tenant]) }
      let counted = try session.execute(
        "SELECT coalesce(sum(success + failed + unknown), 0) FROM platform_totals WHERE tenant_id = $1", [tenant])
      return Int(counted[0][0] ?? "0") ?? 0
    }
  }

  private static let statements = [
    """
    INSERT INTO email_stats_15m (tenant_id, user_id, bucket, success, failed, unknown)
    SELECT tenant_id, user_id, date_bin('15 minutes', sent_at, 'epoch'), count(*) FILTER (WHERE status = 'success'),
           count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'unknown')
    FROM email_logs WHERE tenant_id = $1 AND sent_at IS NOT NULL GROUP BY 1, 2, 3
    """,
    """
    INSERT INTO email_recipients_day (tenant_id, user_id, day, email, success)
    SELECT l.tenant_id, l.user_id, (l.sent_at AT TIME ZONE 'UTC')::date, r.email, count(*)
    FROM email_logs l
    CROSS JOIN LATERAL (
      SELECT DISTINCT lower(e) AS email FROM jsonb_array_elements_text(l.to_emails || l.cc_emails || l.bcc_emails) AS e
    ) r
    WHERE l.tenant_id = $1 AND l.status = 'success' GROUP BY 1, 2, 3, 4
    """,
    """
    INSERT INTO platform_totals_15m (tenant_id, bucket, success, failed, unknown)
    SELECT tenant_id, bucket, sum(success), sum(failed), sum(unknown)
    FROM email_stats_15m WHERE tenant_id = $1 GROUP BY 1, 2
    """,
    """
    INSERT INTO platform_totals (tenant_id, success, failed, unknown)
    SELECT tenant_id, sum(success), sum(failed), sum(unknown) FROM email_stats_15m WHERE tenant_id = $1 GROUP BY 1
    """,
  ]
}
