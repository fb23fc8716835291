internal import CivilTime
internal import Logging
package import PostgresClient

extension ServiceLoop {
  /// Keeps the readiness of the database up to date: that it answers, that its schema has the steps that this release's
  /// statements need, that it takes writes where they are needed, and that this machine's clock is not what peers stumble
  /// over. Otherwise the process would take calls and fail each of them. Says once, loudly, where the login is one that
  /// row-level security does not bind.
  package func check(_ pool: PostgresPool) {
    var isJudged = false
    check("postgres") { [logger, readiness] in
      var (version, isReadOnly, isStandby, time) = (0, false, false, Timestamp.now())
      do {
        let row = try await pool.query(
          """
          SELECT coalesce(max(version), 0), current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),
            clock_timestamp()
          FROM schema_migrations
          """, timeout: .seconds(1)
        ).only()
        (version, isReadOnly, isStandby, time) = (try row[0], try row[1], try row[2], try row[3])
      } catch let error as PostgresError where error.code == .undefinedTable {}
      guard version >= Release.schema else { throw DatabaseUnfit.schemaBehind(version) }
      if pool.configuration.mustLeave(isReadOnly: isReadOnly, isStandby: isStandby) {
        pool.leaveReadOnlyServer()
        throw DatabaseUnfit.readOnly
      }
      if let ahead = readiness.clock.judge(now: .now(), byDatabase: time) { throw DatabaseUnfit.clockOff(ahead) }
      guard !isJudged else { return }
      let isUnbound: Bool = try await pool.query(PostgresLogin.isUnbound, timeout: .seconds(1)).only()[0]
      isJudged = true
      if isUnbound {
        logger.error("the database login bypasses row-level security: log in as a member of emailmcp_service")
      }
    }
  }
}

/// The database is there, and of no use as it is.
enum DatabaseUnfit: Error, CustomStringConvertible {
  /// `emailmcp migrate` has not brought it to this release.
  case schemaBehind(Int)
  case readOnly
  /// By so many seconds ours is ahead, and peers have refused it or we them.
  case clockOff(Int64)

  var description: String {
    switch self {
    case .schemaBehind(let version): "has schema \(version) and needs \(Release.schema): run emailmcp migrate"
    case .readOnly: "takes no writes"
    case .clockOff(let seconds): "finds this machine's clock \(abs(seconds)) s \(seconds > 0 ? "ahead" : "behind")"
    }
  }
}

/// Whom the database takes us for.
package enum PostgresLogin {
  /// Whether row-level security, which keeps tenants apart even where a statement forgets to, does not bind the login.
  package static let isUnbound: Statement = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
}
