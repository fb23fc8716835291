import TestSupport

/// The queue's tables, filled by hand, for tests of its functions. Times are in minutes from now.
struct QueueTables {
  let database: TestDatabase

  init() async throws {
    database = try await PostgresFixture.database()
    for tenant in ["acme", "beta"] { try database.createTenant(tenant) }
    try database.execute(
      """
      CREATE FUNCTION minutes(timestamptz) RETURNS integer LANGUAGE sql
        RETURN CASE WHEN isfinite($1) THEN round(extract(epoch FROM $1 - now()) / 60)::integer END;
      CREATE FUNCTION at(integer) RETURNS timestamptz LANGUAGE sql RETURN now() + $1 * interval '1 min';
      CREATE FUNCTION id(integer) RETURNS uuid LANGUAGE sql
        RETURN ('00000000-0000-7000-8000-' || lpad($1::text, 12, '0'))::uuid;
      CREATE FUNCTION born() RETURNS timestamptz LANGUAGE sql RETURN '2026-01-15 12:00Z'::timestamptz;
      """)
  }

  /// - Parameter lease: until when; nil: none.
  /// - Parameter more: columns with their values in SQL.
  func job(
    _ number: Int, in mailbox: String = "box", tenant: String = "acme", user: String = "u", runAt: Int = -60,
    lease: Int? = nil, _ more: [String: String] = [:]
  ) throws {
    var columns = more
    if let lease { (columns["lease_owner"], columns["lease_until"]) = ("'dead'", "at(\(lease))") }
    if columns["intent"] == "true" { columns["intent_at"] = "at(-60)" }
    let names = columns.keys.sorted()
    try database.execute(
      """
      INSERT INTO send_jobs (\((["tenant_id, user_id, id, created_at, mailbox, run_at, payload"] + names).joined(separator: ", ")))
      VALUES ('\(tenant)', '\(user)', id(\(number)), born(), '\(mailbox)', at(\(runAt)), 'x'
        \(names.map { ", \(columns[$0]!)" }.joined()))
      """)
  }

  /// A mail's row in the log.
  func log(
    _ number: Int, tenant: String = "acme", user: String = "u", _ status: String, _ more: [String: String] = [:]
  ) throws {
    let names = more.keys.sorted()
    try database.execute(
      """
      INSERT INTO email_logs (\((["tenant_id, user_id, id, created_at, from_email, status, timeline"] + names).joined(separator: ", ")))
      VALUES ('\(tenant)', '\(user)', id(\(number)), born(), 'x@example.com', '\(status)', '["before"]'
        \(names.map { ", \(more[$0]!)" }.joined()))
      """)
  }

  func mailbox(_ name: String = "box", _ columns: [String: String] = [:]) throws {
    let names = columns.keys.sorted()
    try database.execute(
      """
      INSERT INTO mailboxes (\((["google_sub"] + names).joined(separator: ", ")))
      VALUES ('\(name)'\(names.map { ", \(columns[$0]!)" }.joined()))
      """)
  }

  /// The rows of a script, a line each, with a dash for what is null.
  @discardableResult
  func rows(_ script: String, as login: TestDatabase.Login = .superuser) throws -> [String] {
    try database.execute(script, as: login).map { $0.map { $0 ?? "-" }.joined(separator: " ") }.filter { !$0.isEmpty }
  }

  /// The same for a tenant.
  @discardableResult
  func rows(_ script: String, of tenant: String) throws -> [String] {
    try rows("SELECT FROM set_config('emailmcp.tenant_id', '\(tenant)', false); \(script)", as: .service)
  }
}
