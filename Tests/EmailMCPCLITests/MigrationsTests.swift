import PostgresClient
import ServiceKit
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct MigrationsTests {
  @Test("the program brings every step that stands in the folder, under its number and name")
  func all() throws {
    #expect(try PostgresFixture.migrations() == Migrations.all)
  }

  @Test("services ask for the newest step")
  func newest() {
    #expect(Migrations.all.last?.version == Release.schema)
  }
}
