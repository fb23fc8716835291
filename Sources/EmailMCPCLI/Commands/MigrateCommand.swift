import ArgumentParser
import PostgresClient

struct MigrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "migrate",
    abstract: "Brings the database of DATABASE_URL to this release's schema, and makes the tenant \"default\".",
    discussion: "Any number may run at once: one works, the others wait. The login must own the database.")

  func run() throws {
    let applied = try Schema.migrate(url: OwnerSettings.databaseURL())
    for migration in applied { print("applied \(migration.version) \(migration.name)") }
    if applied.isEmpty { print("the schema is up to date") }
  }
}
