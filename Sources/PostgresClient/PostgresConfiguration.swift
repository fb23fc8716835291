import CLibPQ

/// How a pool reaches its database, and its limits.
package struct PostgresConfiguration: Sendable, CustomStringConvertible {
  /// `postgres://…` or `host=… dbname=…`; TLS by its `sslmode`, which libpq carries out.
  package let url: String

  /// Connections, a loop, that carry single statements and batches of many callers, pipelined.
  package var sharedConnections = 2
  /// Connections, a loop, that a transaction has to itself.
  package var exclusiveConnections = 6
  /// Round trips under way on one shared connection; more wait.
  package var maxPipelineDepth = 64
  /// Callers that wait for a connection, a loop; the next is refused at once.
  package var maxWaiting = 4096
  /// How long a caller waits for a connection.
  package var acquireTimeout: Duration = .milliseconds(1500)
  /// How long a round trip may take when its caller does not say; it is then cancelled.
  package var queryTimeout: Duration = .seconds(5)
  package var connectTimeout: Duration = .seconds(5)
  /// How long one of several servers may keep silent before another is asked.
  package var silenceTimeout: Duration = .seconds(2)
  /// The server's own limits: they hold when this process is gone.
  package var statementTimeout: Duration = .seconds(30)
  package var idleInTransactionTimeout: Duration = .seconds(30)
  /// Connections beyond the first of each kind are closed after this long without work.
  package var idleTimeout: Duration = .seconds(120)
  /// A connection is replaced after about this long (± 10 %), so that a moved database is found.
  package var maxLifetime: Duration = .seconds(3600)
  package var applicationName = "emailmcp"
  /// Whether a server that takes no writes is of no use; false: a standby will do, unless the URL asks for more.
  package var needsWrites = true

  enum Target: String { case readWrite = "read-write", primary }
  /// The URL's `target_session_attrs`, which libpq holds new sessions to, and the pool the old ones; nil: another, or none.
  let target: Target?
  /// Where the server may be, in the URL's order; none: where libpq looks by itself.
  let servers: [ServerAddress]
  let options: String?
  /// The parts that may be shown.
  let display: String

  /// - Throws: `PostgresError` of code `configuration`, without the URL in its message: it may hold a password.
  package init(url: String) throws(PostgresError) {
    var failure: UnsafeMutablePointer<CChar>?
    guard let list = PQconninfoParse(url, &failure) else {
      if let failure { PQfreemem(failure) }
      throw PostgresError(
        .configuration, "the database URL cannot be read; expected postgres://user:password@host:port/name")
    }
    defer { PQconninfoFree(list) }
    var values: [String: String] = [:]
    var entry = list
    while let keyword = entry.pointee.keyword {
      if let value = entry.pointee.val { values[String(cString: keyword)] = String(cString: value) }
      entry += 1
    }
    if let mode = values["sslmode"], !Self.sslModes.contains(mode) {
      throw PostgresError(.configuration, "sslmode is one of \(Self.sslModes.joined(separator: ", "))")
    }
    servers = try Self.servers(values)
    self.url = url
    options = values["options"]
    target = values["target_session_attrs"].flatMap(Target.init(rawValue:))
    display =
      "\(values["user"] ?? "?")@\(values["host"] ?? "local"):\(values["port"] ?? "5432")/\(values["dbname"] ?? "?")"
  }

  package var description: String { display }

  /// Whether some server would be of no use.
  var judgesServers: Bool { needsWrites || target != nil }

  /// Whether a session is of no use, with a server that is like this.
  package func mustLeave(isReadOnly: Bool, isStandby: Bool) -> Bool {
    isReadOnly && (needsWrites || target == .readWrite) || isStandby && target == .primary
  }

  private static let sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

  /// The settings that each session starts with, after those of the URL.
  var sessionOptions: String {
    func milliseconds(_ duration: Duration) -> Int64 {
      duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
    }
    return [
      options,
      "-c statement_timeout=\(milliseconds(statementTimeout))",
      "-c idle_in_transaction_session_timeout=\(milliseconds(idleInTransactionTimeout))",
      "-c client_min_messages=warning",
    ].compactMap { $0 }.joined(separator: " ")
  }
}
