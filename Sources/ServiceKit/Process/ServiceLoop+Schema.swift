package import PostgresClient

extension ServiceLoop {
  /// Keeps the readiness of the database up to date: that it answers, and that its schema has the steps that this
  /// release's statements need. On an older one the process would take calls and fail each of them.
  package func check(_ pool: PostgresPool) {
    check("postgres") {
      var version = 0
      do {
        version = try await pool.query("SELECT coalesce(max(version), 0) FROM schema_migrations", timeout: .seconds(1))
          .only()[0]
      } catch let error as PostgresError where error.code == .undefinedTable {}
      guard version >= Release.schema else { throw SchemaBehind(version: version) }
    }
  }
}

/// The database is there, and `emailmcp migrate` has not brought it to this release.
struct SchemaBehind: Error, CustomStringConvertible {
  let version: Int
  var description: String { "has schema \(version) and needs \(Release.schema): run emailmcp migrate" }
}
