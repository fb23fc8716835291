import EventLoop
import Logging
import PostgresClient
import ServiceKit
import Synchronization
import TestSupport
import Testing

@Suite("A process and the database that it finds")
struct SchemaTests {
  @Test(
    "On a database without the schema, or with an older one, it is not ready and says why; it is once that is there")
  func readiness() async throws {
    let needs = "and needs \(Release.schema): run emailmcp migrate"
    let empty = try await PostgresFixture.database(migrated: false)
    try await Self.check(empty) { #expect(await $0() == "has schema 0 \(needs)") }
    let database = try await PostgresFixture.database()
    try await Self.check(database) { reason in
      #expect(await reason() == nil)
      let newest = "SELECT max(version) FROM schema_migrations"
      try database.execute("UPDATE schema_migrations SET version = version + 1000 WHERE version = (\(newest))")
      #expect(await reason() == nil, "a newer release's schema serves this one too")
      try database.execute("DELETE FROM schema_migrations WHERE version > 30")
      #expect(await reason() == "has schema 30 \(needs)")
    }
  }

  @Test("Where the database takes no writes, who needs them is not ready until it does; who only reads is")
  func writes() async throws {
    let database = try await PostgresFixture.database()
    let login = "ROLE \(TestDatabase.Login.service.rawValue) IN DATABASE \(database.name)"
    try database.execute("ALTER \(login) SET default_transaction_read_only = on")
    try await Self.check(database, needsWrites: false) { #expect(await $0() == nil) }
    try await Self.check(database) { reason in
      #expect(await reason() == "takes no writes")
      // Of sessions that begin from now on, as when another server takes over.
      try database.execute("ALTER \(login) RESET default_transaction_read_only")
      let deadline = ContinuousClock.now + .seconds(20)
      while await reason() != nil { try #require(ContinuousClock.now < deadline) }
    }
  }

  @Test(
    "Its sessions have the service's name there, unless the URL has another", arguments: [nil, "mine"] as [String?])
  func sessionNames(own: String?) async throws {
    let database = try await PostgresFixture.database(migrated: false)
    let plain = database.url()
    let url = plain + (own.map { "\(plain.contains("?") ? "&" : "?")application_name=\($0)" } ?? "")
    let configuration = try #require(Settings(["DATABASE_URL": url]).database(of: "mailer"))
    try await onLoop { reactor in
      let pool = PostgresPool(configuration, reactor: reactor)
      let name: String = try await pool.query("SELECT current_setting('application_name')").only()[0]
      #expect(name == own ?? "emailmcp/mailer")
      await pool.close()
    }
  }

  /// A third of all requests failed for as long as one of three replicas had a wrong clock, and it called itself ready.
  @Test("A clock that peers stumbled over is judged by the database's; alone that one is not believed")
  func clock() async throws {
    let database = try await PostgresFixture.database()
    try database.execute("CREATE SCHEMA slow")
    try database.execute("GRANT USAGE ON SCHEMA slow TO PUBLIC")
    try database.execute(
      "CREATE FUNCTION slow.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT now() - interval '1 hour'$$")
    let login = "ROLE \(TestDatabase.Login.service.rawValue) IN DATABASE \(database.name)"
    try database.execute("ALTER \(login) SET search_path = slow, pg_catalog, public")
    let readiness = Readiness()
    try await Self.check(database, readiness) { reason in
      #expect(await reason() == nil)
      readiness.clock.raise()
      let said = try #require(await reason())
      #expect(said.hasPrefix("finds this machine's clock 36") && said.hasSuffix(" s ahead"), "\(said)")
    }
  }

  @Test("A login that row-level security does not bind is told of", arguments: [true, false])
  func unboundLogin(isSuperuser: Bool) async throws {
    let lines = Lines()
    let logger = Logger(label: "mailer") {
      ServiceLogHandler(label: $0, service: "mailer", level: .error, format: .text, write: lines.add)
    }
    let database = try await PostgresFixture.database()
    try await Self.check(database, as: isSuperuser ? .superuser : .service, logger) { #expect(await $0() == nil) }
    #expect(lines.all.withLock { $0.contains { $0.contains("bypasses row-level security") } } == isSuperuser)
  }

  private final class Lines: Sendable {
    let all = Mutex<[String]>([])
    func add(_ line: [UInt8]) { all.withLock { $0.append(String(decoding: line, as: UTF8.self)) } }
  }

  /// Gives `body` what the readiness says of the database after the next check.
  private static func check(
    _ database: TestDatabase, _ readiness: Readiness = Readiness(), as login: TestDatabase.Login = .service,
    needsWrites: Bool = true,
    _ logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
    _ body: @Sendable (_ reason: () async -> String?) async throws -> Void
  ) async throws {
    try await database.withPool(as: login, { $0.needsWrites = needsWrites }) { pool in
      try await body {
        let loop = ServiceLoop(
          reactor: pool.reactor, index: 0, count: 1, logger: logger, readiness: readiness, metrics: MetricsRegistry())
        loop.check(pool)
        while readiness.reasons["postgres"] == "has not been reached yet" {
          try? await pool.reactor.sleep(for: .milliseconds(5))
        }
        loop.stopChecks()
        return readiness.reasons["postgres"]
      }
    }
  }
}
