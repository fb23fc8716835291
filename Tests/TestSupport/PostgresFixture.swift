import Foundation
import EventLoop
package import PostgresClient

/// A database of a test's own: the real schema, owned by a login that is no superuser, with a second login that is a
/// member of `emailmcp_service`, as services are.
///
///     let database = try await PostgresFixture.database()
///     try await database.withPool { pool in try await pool.query("SELECT 1") }
///
/// Uses the server of `TEST_DATABASE_URL` (a superuser's URL) when that is set; else starts one for this process.
package struct TestDatabase: Sendable {
  package enum Login: String, Sendable {
    /// A member of the group role, like the services.
    case service = "emailmcp_test_app"
    /// The owner of the tables, like `emailmcp migrate`.
    case owner = "emailmcp_test_owner"
    case superuser = ""
  }

  package let name: String

  /// For `DATABASE_URL` and the like.
  package func url(_ login: Login = .service) -> String { PostgresFixture.url(login, database: name) }

  /// Runs `body` on a loop of its own with a pool; both are gone afterwards.
  package func withPool<Value: Sendable>(
    as login: Login = .service, _ configure: @Sendable (inout PostgresConfiguration) -> Void = { _ in },
    _ body: @Sendable (PostgresPool) async throws -> Value
  ) async throws -> Value {
    var configuration = try PostgresConfiguration(url: url(login))
    // Patience for a machine that runs every test at once; a test of a limit sets its own.
    configuration.acquireTimeout = .seconds(20)
    configuration.connectTimeout = .seconds(20)
    configuration.queryTimeout = .seconds(30)
    configure(&configuration)
    let fixed = configuration
    return try await onLoop { reactor in
      let pool = PostgresPool(fixed, reactor: reactor)
      do {
        let value = try await body(pool)
        await pool.close()
        return value
      } catch {
        await pool.close()
        throw error
      }
    }
  }

  /// Runs a script and waits for it, outside any loop.
  @discardableResult
  package func execute(_ script: String, as login: Login = .superuser) throws -> [[String?]] {
    try BlockingSession(url: url(login)).execute(script)
  }

  /// Makes a tenant, as `emailmcp tenant create` does.
  package func createTenant(_ tenant: String) throws {
    try execute("INSERT INTO tenants (id) VALUES ('\(tenant)') ON CONFLICT DO NOTHING")
  }
}

package enum PostgresFixture {
  /// A fresh database with the schema, or an empty one.
  package static func database(migrated: Bool = true) async throws -> TestDatabase {
    try await Cluster.shared.database(migrated: migrated)
  }

  /// The steps of the schema, from the files that the command line embeds.
  package static func migrations() throws -> [Migration] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../Sources/EmailMCPCLI/Migrations").standardized
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().compactMap {
      Migration(fileName: $0, sql: try String(contentsOf: folder.appendingPathComponent($0), encoding: .utf8))
    }
  }

  static let password = "test"

  static func url(_ login: TestDatabase.Login, database: String) -> String {
    Cluster.shared.url(login, database: database)
  }
}

/// The server of this test run, and the template of its databases.
private actor Cluster {
  static let shared = Cluster()

  private let server: Result<PostgresServer?, any Error>
  private let adminURL: URLComponents?
  private var template: Result<String, any Error>?
  private var count = 0

  init() {
    if let text = ProcessInfo.processInfo.environment["TEST_DATABASE_URL"], !text.isEmpty {
      adminURL = URLComponents(string: text)
      server =
        adminURL == nil ? .failure(FixtureError("TEST_DATABASE_URL is not a URL")) : .success(nil)
    } else {
      adminURL = nil
      server = Result { try PostgresServer() }
    }
  }

  nonisolated func url(_ login: TestDatabase.Login, database: String) -> String {
    var components = URLComponents()
    if let adminURL {
      components = adminURL
    } else if case .success(let server?) = server {
      components.scheme = "postgres"
      components.host = ""
      components.user = "postgres"
      components.queryItems = [
        URLQueryItem(name: "host", value: server.directory), URLQueryItem(name: "port", value: String(server.port)),
      ]
    }
    if login != .superuser {
      components.user = login.rawValue
      components.password = PostgresFixture.password
    }
    components.path = "/" + database
    return components.string ?? ""
  }

  func database(migrated: Bool) throws -> TestDatabase {
    _ = try server.get()
    let admin = try BlockingSession(url: url(.superuser, database: "postgres"))
    if template == nil { template = Result { try Self.makeTemplate() } }
    let template = try self.template!.get()
    count += 1
    let name = "emailmcp_test_\(getpid())_\(count)"
    try admin.execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
    try admin.execute(
      "CREATE DATABASE \(name) OWNER \(TestDatabase.Login.owner.rawValue)" + (migrated ? " TEMPLATE \(template)" : ""))
    return TestDatabase(name: name)
  }

  private static func makeTemplate() throws -> String {
    let admin = try BlockingSession(url: PostgresFixture.url(.superuser, database: "postgres"))
    let owner = TestDatabase.Login.owner.rawValue
    let service = TestDatabase.Login.service.rawValue
    // Two test runs may share a server: one of them makes the roles.
    try admin.execute("SELECT pg_advisory_lock(20261122)")
    defer { _ = try? admin.execute("SELECT pg_advisory_unlock(20261122)") }
    for (role, rights) in [(owner, "CREATEROLE"), (service, "")] {
      if try admin.execute("SELECT FROM pg_roles WHERE rolname = '\(role)'").isEmpty {
        try admin.execute("CREATE ROLE \(role) LOGIN PASSWORD '\(PostgresFixture.password)' \(rights)")
      }
    }
    let name = "emailmcp_template_\(getpid())"
    try admin.execute("DROP DATABASE IF EXISTS \(name)")
    try admin.execute("CREATE DATABASE \(name) OWNER \(owner)")
    _ = try Migrator(PostgresFixture.migrations()).run(url: PostgresFixture.url(.owner, database: name))
    try admin.execute("GRANT emailmcp_service TO \(service)")
    return name
  }
}
