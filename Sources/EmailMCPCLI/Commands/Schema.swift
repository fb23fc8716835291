import PostgresClient

/// The schema of this release, from the SQL files embedded in the program.
enum Schema {
  /// Brings the database up to date and makes the tenant `default`. Blocks. Returns the steps applied.
  static func migrate(url: String) throws -> [Migration] {
    let applied = try Migrator(Migrations.all).run(url: url)
    try Tenants(url: url).create("default", ifMissing: true)
    return applied
  }
}
