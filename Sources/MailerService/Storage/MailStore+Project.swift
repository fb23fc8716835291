import PostgresClient

/// The project's quota, which all mailers share.
extension MailStore {
  struct ProjectGrant: Sendable {
    var granted: Int
    var share: Double
    var paused: Duration
  }

  func takeProject(_ want: Int, _ terms: ProjectAllowance.Terms) async throws -> ProjectGrant {
    let row = try await pool.query(
      "SELECT granted, share, paused FROM emailmcp.take_project($1, $2, $3)",
      [.int4(Int32(clamping: want)), .seconds(terms.interval), .seconds(terms.burst)]
    ).only()
    return ProjectGrant(
      granted: try row[0], share: try row[1], paused: .seconds(try row.column(2, as: Double.self)))
  }

  /// The project's share of its pace, and for how long it is paused.
  func projectState() async throws -> (share: Double, paused: Duration) {
    let row = try await pool.query(
      """
      SELECT emailmcp.pace_share(share, share_at, clock_timestamp()),
        CASE WHEN paused_until > clock_timestamp() THEN extract(epoch FROM paused_until - clock_timestamp()) ELSE 0
        END::float8
      FROM project_pace WHERE project = 'gmail'
      """
    ).only()
    return (try row[0], .seconds(try row.column(1, as: Double.self)))
  }

  func slowProject(_ refusal: ProjectPause.Refusal) async throws {
    try await pool.query(
      "SELECT emailmcp.slow_project($1, $2)", [.seconds(refusal.pause), .bool(refusal.isCut)])
  }
}
