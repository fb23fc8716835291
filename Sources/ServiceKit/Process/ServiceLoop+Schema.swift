package import PostgresClient

extension ServiceLoop {
  /// Keeps the readiness of the database up to date: that it answers, and that its schema has the steps that this
  /// release's statements need, and that it takes writes where they are needed. Otherwise the process would take calls and
  /// fail each of them.
  package func check(_ pool: PostgresPool) {
    check("postgres") {
      var (version, isReadOnly) = (0, "off")
      do {
        let row = try await pool.query(
          "SELECT coalesce(max(version), 0), current_setting('transaction_read_only') FROM schema_migrations",
          timeout: .seconds(1)
        ).only()
        (version, isReadOnly) = (try row[0], try row[1])
      } catch let error as PostgresError where error.code == .undefinedTable {}
      guard version >= Release.schema else { throw DatabaseUnfit.schemaBehind(version) }
      if pool.configuration.needsWrites, isReadOnly == "on" {
        pool.leaveReadOnlyServer()
        throw DatabaseUnfit.readOnly
      }
    }
  }
}

/// The database is there, and of no use as it is.
enum DatabaseUnfit: Error, CustomStringConvertible {
  /// `emailmcp migrate` has not brought it to this release.
  case schemaBehind(Int)
  case readOnly

  var description: String {
    switch self {
    case .schemaBehind(let version): "has schema \(version) and needs \(Release.schema): run emailmcp migrate"
    case .readOnly: "takes no writes"
    }
  }
}
