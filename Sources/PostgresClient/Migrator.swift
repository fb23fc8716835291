import Glibc

/// One step of the schema. Forward only: a step that was released is never changed.
package struct Migration: Sendable, Hashable {
  package let version: Int
  package let name: String
  package let sql: String

  package init(version: Int, name: String, sql: String) {
    self.version = version
    self.name = name
    self.sql = sql
  }

  /// Reads version and name from a file name such as `0003_email_logs.sql`; nil for any other name.
  package init?(fileName: String, sql: String) {
    let parts = fileName.split(separator: "_", maxSplits: 1)
    guard fileName.hasSuffix(".sql"), parts.count == 2, let version = Int(parts[0]), version > 0 else { return nil }
    self.init(version: version, name: String(parts[1].dropLast(4)), sql: sql)
  }
}

/// Brings a database to the newest schema. Any number may run at once: one works, the others wait and find it done.
package struct Migrator {
  private let migrations: [Migration]

  /// How long a step waits for a table that others use, before it gives way and tries again.
  static let lockTimeout = "1s"
  static let lockAttempts = 30
  /// How long to wait for another migrator.
  static let turnTimeout = "120s"

  /// - Throws: `PostgresError` of code `migration` when the versions are not 1, 2, 3 …
  package init(_ migrations: [Migration]) throws(PostgresError) {
    let sorted = migrations.sorted { $0.version < $1.version }
    for (index, migration) in sorted.enumerated() where migration.version != index + 1 {
      throw PostgresError(.migration, "migration \(index + 1) is missing or there twice")
    }
    self.migrations = sorted
  }

  /// Applies what is missing, each step in a transaction of its own. Blocks its thread. The login must own the database
  /// and, the first time, be allowed to create roles.
  ///
  /// - Returns: the steps that this call applied.
  package func run(url: String) throws(PostgresError) -> [Migration] {
    let session = try BlockingSession(url: url)
    try session.execute("SET lock_timeout = '\(Self.turnTimeout)'")
    try session.execute("SELECT pg_advisory_lock(hashtextextended('emailmcp.migrate', 0))")
    try session.execute("SET lock_timeout = '\(Self.lockTimeout)'")
    try session.execute(
      """
      SET client_min_messages = warning;
      -- Not the default "$user", public: an owner called emailmcp would make the tables in the schema of that name.
      SET search_path = public;
      CREATE TABLE IF NOT EXISTS schema_migrations (
        version    integer PRIMARY KEY,
        name       text NOT NULL,
        checksum   bytea NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
      )
      """)
    let applied = try check(session)
    var done: [Migration] = []
    for migration in migrations where migration.version > applied {
      try apply(migration, session)
      done.append(migration)
    }
    try session.execute("GRANT SELECT ON schema_migrations TO emailmcp_service")
    return done
  }

  /// The newest version that the database has; 0 for an empty one.
  package static func version(url: String) throws(PostgresError) -> Int {
    let session = try BlockingSession(url: url)
    guard try session.execute("SELECT to_regclass('schema_migrations')")[0][0] != nil else { return 0 }
    return Int(try session.execute("SELECT coalesce(max(version), 0) FROM schema_migrations")[0][0] ?? "0") ?? 0
  }

  /// The steps that are there must be the ones that this program knows.
  private func check(_ session: BlockingSession) throws(PostgresError) -> Int {
    var newest = 0
    for row in try session.execute("SELECT version, name, encode(checksum, 'hex') FROM schema_migrations ORDER BY 1") {
      newest = Int(row[0] ?? "") ?? 0
      guard newest <= migrations.count else { continue }  // a newer release was here: its schema serves this one too
      let known = migrations[newest - 1]
      let checksum = try session.execute("SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", [known.sql])[0][0]
      guard checksum == row[2] else {
        throw PostgresError(
          .migration, "migration \(newest) (\(known.name)) is not the one that was applied; add a new one instead")
      }
    }
    return newest
  }

  private func apply(_ migration: Migration, _ session: BlockingSession) throws(PostgresError) {
    for attempt in 1... {
      do {
        try session.execute("BEGIN")
        try session.execute(migration.sql)
        try session.execute(
          "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, sha256(convert_to($3, 'UTF8')))",
          [String(migration.version), migration.name, migration.sql])
        try session.execute("COMMIT")
        return
      } catch {
        _ = try? session.execute("ROLLBACK")
        guard error.code == .lockNotAvailable, attempt < Self.lockAttempts else {
          throw PostgresError(error.code, "migration \(migration.version) (\(migration.name)): \(error.message)")
        }
        usleep(500_000)
      }
    }
  }
}
