import MailSyntax
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct SuppressionsTests {
  @Test("an entry is taken, spelt and refused as the API does it, and taken off in any spelling")
  func entries() async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("acme")
    let suppressions = try Suppressions(url: database.url(.owner))
    func listed() throws -> [String] {
      var entries: [String] = []
      try suppressions.forEach("acme") { entries.append($0.entry) }
      return entries
    }
    for text in [
      "Bob@Example.COM", " example.com ", "bücher.example", "a@Bücher.example", "\"a@b\"@x.org", "\"ann\"@x.org",
      "a b@x.org", "a..b@x.org", "a,b@x.org", "a@x.1", "1.2.3.4", "-x.org", "x_y.org", "localhost", "@x.org", "a@",
      "Bob <bob@x.org>", "", "=?utf-8?q?x?=@x.org", "jörg@x.org", String(repeating: "a", count: 65) + "@x.org",
      "a@" + String(repeating: "b", count: 64) + ".org", "ｅxample.com",
    ] {
      if let entry = try? SuppressionEntry(text) {
        try suppressions.add("acme", text)
        #expect(try listed() == [entry.text])
        try suppressions.remove("acme", text)
      } else {
        #expect(throws: (any Error).self, "\(text)") { try suppressions.add("acme", text) }
        #expect(throws: (any Error).self, "\(text)") { try suppressions.remove("acme", text) }
      }
      #expect(try listed() == [], "\(text)")
    }
    #expect(throws: (any Error).self) { try suppressions.add("acme", "*@x.org") }
    #expect(throws: (any Error).self) { try suppressions.add("acme", "x.org", reason: "a\u{1B}[31mb") }
    try suppressions.add("acme", "x.org", reason: "asked for it")
    #expect(
      try database.execute("SELECT entry, reason, source FROM suppressions") == [["x.org", "asked for it", "platform"]])
  }

  @Test("a tenant that is not there is no empty list")
  func unknownTenant() async throws {
    let database = try await PostgresFixture.database()
    #expect(throws: (any Error).self) { try Suppressions(url: database.url(.owner)).forEach("nobody") { _ in } }
  }

  @Test("what a former release listed and no entry can be is taken off as it is listed")
  func formerEntries() async throws {
    let database = try await PostgresFixture.database()
    try Tenants(url: database.url(.owner)).create("acme")
    try database.execute("INSERT INTO suppressions (tenant_id, entry, source) VALUES ('acme', 'a b@x.org', 'platform')")
    try Suppressions(url: database.url(.owner)).remove("acme", "a b@x.org")
    #expect(try database.execute("SELECT FROM suppressions").isEmpty)
  }
}
