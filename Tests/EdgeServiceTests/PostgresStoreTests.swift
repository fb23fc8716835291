import CivilTime
import EventLoop
import PostgresClient
import TestSupport
import Testing

@testable import EdgeService
@testable import ServiceKit

@Suite("The edge's store in Postgres")
struct PostgresStoreTests {
  @Test("A key is found with its tenant, whoever asks; revoking it and disabling its tenant show")
  func keys() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    let key = APIKey(generating: .live)
    let hmac = key.authenticator(peppers: EdgeSite.peppers)
    try await database.withPool(as: .owner) { pool in
      _ = try await pool.query(
        "INSERT INTO api_keys (tenant_id, id, env, secret_hmac, scopes) VALUES ('acme', $1, 'live', $2, '{read,send}')",
        [.text(key.id), .bytes(hmac)], tenant: "acme")
    }
    try await database.withPool { pool in
      let store = PostgresEdgeStore(pool)
      let found = try #require(try await store.key(key.id))
      #expect(found.tenant == "acme" && found.environment == "live" && found.authenticator == hmac)
      #expect(found.scopes == [.read, .send] && found.expiresAt == nil && !found.isRevoked)
      for _ in 0..<2 { try await store.noteUse(of: key.id, tenant: "acme") }
      let used = try await pool.query("SELECT last_used_at > now() - interval '1 hour' FROM api_keys", tenant: "acme")
      #expect(try used.only()[0] == true)
      let nobody = try await store.key("nobodysKey1234567")
      #expect(nobody == nil)
    }
    try await database.withPool(as: .owner) { pool in
      _ = try await pool.query("UPDATE api_keys SET revoked_at = now(), expires_at = now()", tenant: "acme")
    }
    try await database.withPool { pool in
      let found = try await PostgresEdgeStore(pool).key(key.id)
      #expect(found?.isRevoked == true && found?.expiresAt != nil && found?.isTenantDisabled == false)
    }
    try database.execute("UPDATE tenants SET disabled_at = now() WHERE id = 'acme'")
    try await database.withPool { pool in
      let found = try await PostgresEdgeStore(pool).key(key.id)
      #expect(found?.isTenantDisabled == true)
    }
  }

  @Test("Origins are known for the tenant that listed them, and for the preflight of any")
  func origins() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try database.createTenant("other")
    try await database.withPool(as: .owner) { pool in
      _ = try await pool.query(
        "INSERT INTO allowed_origins (tenant_id, origin) VALUES ('acme', 'https://a.example')", tenant: "acme")
    }
    try await database.withPool { pool in
      let store = PostgresEdgeStore(pool)
      var answers: [Bool] = []
      for (origin, tenant) in [("a", nil), ("a", "acme"), ("a", "other"), ("b", nil)] as [(String, String?)] {
        answers.append(try await store.allowsOrigin("https://\(origin).example", tenant: tenant))
      }
      #expect(answers == [true, true, false, false])
    }
  }

  /// Each was a transaction of its own: a flood of made-up keys took the whole pool, and the database with it.
  @Test("Keys and origins that nobody has share a transaction, and one among them that somebody has is found")
  func strangers() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    let key = APIKey(generating: .live)
    try database.execute(
      """
      INSERT INTO api_keys (tenant_id, id, env, secret_hmac, scopes)
      VALUES ('acme', '\(key.id)', 'live', sha256('x'), '{read}');
      INSERT INTO allowed_origins (tenant_id, origin) VALUES ('acme', 'https://a.example')
      """)
    let few: @Sendable (inout PostgresConfiguration) -> Void = {
      ($0.sharedConnections, $0.maxPipelineDepth, $0.maxWaiting) = (1, 1, 1)
    }
    try await database.withPool(few) { pool in
      let store = PostgresEdgeStore(pool)
      let ids = (0..<100).map { _ in APIKey(generating: .live).id } + [key.id]
      let keys = ids.map { id in pool.reactor.spawn { try await store.key(id) } }
      for (id, found) in zip(ids, keys) {
        let tenant = try await found.value?.tenant
        #expect(tenant == (id == key.id ? "acme" : nil))
      }
      let names = (0..<100).map { "https://\($0).example" } + ["https://a.example"]
      let origins = names.map { name in pool.reactor.spawn { try await store.allowsOrigin(name, tenant: nil) } }
      for (name, answer) in zip(names, origins) {
        let isKnown = try await answer.value
        #expect(isKnown == (name == "https://a.example"))
      }
    }
  }

  @Test("A bucket is shared by all who ask, grants its burst and then says when to come back")
  func buckets() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try await database.withPool { pool in
      try await Self.exhaust(PostgresEdgeStore(pool), PostgresEdgeStore(pool))
    }
  }

  /// Reads were answered with 503, for want of the one write that they need.
  @Test("Of a database that can only be read a store counts by itself, as the database would")
  func readOnly() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    try database.execute(
      """
      DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
      END $$
      """)
    try await database.withPool { pool in
      for _ in 0..<2 {
        let store = PostgresEdgeStore(pool)
        try await Self.exhaust(store, store)
      }
    }
  }

  private static func exhaust(_ one: PostgresEdgeStore, _ two: PostgresEdgeStore) async throws {
    func take(_ store: PostgresEdgeStore, _ want: Int32) async throws -> TokenGrant {
      try await store.takeTokens([TokenAsk(tenant: "acme", bucket: "key:x", perSecond: 0.01, burst: 20, want: want)])[0]
    }
    let first = try await take(one, 15)
    let second = try await take(two, 15)
    let third = try await take(one, 1)
    #expect(first.granted == 15 && second.granted == 5 && third.granted == 0)
    #expect(third.retryAfter > .seconds(50) && third.retryAfter <= .seconds(101))
  }

  @Test("Asks that come together go together: each bucket grants its burst once, the first first, of whichever tenant")
  func gatheredAsks() async throws {
    let database = try await PostgresFixture.database()
    for tenant in ["acme", "other"] { try database.createTenant(tenant) }
    try await database.withPool { pool in
      let store = PostgresEdgeStore(pool)
      // 30 asks for one token each: 12 of each tenant's bucket "user:u", whose burst is 5, and of others, whose is enough.
      let buckets =
        (0..<12).flatMap { _ in [("acme", "user:u"), ("other", "user:u")] }
        + (0..<6).map { ("acme", $0 < 3 ? "key:k" : "user:ü\($0)") }
      let grants = try await store.takeTokens(
        buckets.map { tenant, bucket in
          TokenAsk(
            tenant: tenant, bucket: bucket, perSecond: bucket.hasPrefix("key") ? 100 : 0.001, burst: 5, want: 1)
        })
      for tenant in ["acme", "other"] {
        let own = buckets.indices.filter { buckets[$0] == (tenant, "user:u") }.map { grants[$0] }
        #expect(own.filter { $0.granted == 1 }.count == 5 && own.filter { $0.granted == 0 }.count == 7)
      }
      #expect(grants[24...].allSatisfy { $0.granted == 1 })
      let late = try await store.takeTokens([
        TokenAsk(tenant: "acme", bucket: "user:u", perSecond: 0.001, burst: 5, want: 3)
      ])[0]
      #expect(late.granted == 0 && late.retryAfter > .seconds(900) && late.retryAfter <= .seconds(1000))
    }
  }
}
