import TestSupport
import Testing

@testable import PostgresClient

@Suite struct MigratorTests {
  @Test("the second run applies nothing, and the schema is at its newest version")
  func twice() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    let migrations = try PostgresFixture.migrations()
    #expect(try Migrator.version(url: database.url(.owner)) == 0)
    #expect(try Migrator(migrations).run(url: database.url(.owner)) == migrations)
    #expect(try Migrator(migrations).run(url: database.url(.owner)) == [])
    #expect(try Migrator.version(url: database.url(.owner)) == migrations.count)
  }

  @Test("eight migrators at once apply each step once")
  func concurrent() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    let migrations = try PostgresFixture.migrations()
    let url = database.url(.owner)
    let applied = try await withThrowingTaskGroup(of: [Migration].self) { group in
      for _ in 0..<8 { group.addTask { try Migrator(migrations).run(url: url) } }
      return try await group.reduce(into: [Migration]()) { $0 += $1 }
    }
    #expect(applied.map(\.version).sorted() == migrations.map(\.version))
  }

  @Test("a step that was changed after it was applied is refused, one that fails leaves nothing behind")
  func guarded() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    let url = database.url(.owner)
    // The group role is there: the schema's own first step makes it.
    let first = try PostgresFixture.migrations()[0]
    let bad = Migration(version: 2, name: "bad", sql: "CREATE TABLE half (n int); SELECT 1/0;")
    #expect(throws: PostgresError.self) { try Migrator([first, bad]).run(url: url) }
    #expect(try Migrator.version(url: url) == 1)
    #expect(try database.execute("SELECT to_regclass('half')")[0][0] == nil)
    let changed = Migration(version: 1, name: first.name, sql: first.sql + "-- changed")
    #expect {
      try Migrator([changed]).run(url: url)
    } throws: {
      ($0 as? PostgresError)?.code == .migration
    }
    #expect(throws: PostgresError.self) { try Migrator([first, Migration(version: 3, name: "gap", sql: "")]) }
  }
}
