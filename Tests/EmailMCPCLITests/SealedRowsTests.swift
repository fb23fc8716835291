import SecretVault
import ServiceKit
import TLSSession
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct SealedRowsTests {
  @Test("after sealing anew nothing needs the older key but mail in the queue, and what opens under none is told of")
  func reseal() async throws {
    let database = try await PostgresFixture.database()
    let url = database.url(.owner)
    let (old, new, lost) = (Keyring(generating: "k1"), Keyring(generating: "k2"), Keyring(generating: "k0"))
    let both = try Keyring(parsing: "\(new.revealedText),\(old.revealedText)")
    let secret = UserSecret(refreshToken: SecretBytes("1//token"))
    var endpoints: [(tenant: String, id: String, secret: WebhookSecret)] = []
    for tenant in ["acme", "other"] {
      try Tenants(url: url).create(tenant)
      let webhooks = try Webhooks(url: url)
      let (id, _) = try webhooks.add(
        tenant, WebhookURL("https://a.example/x")!, finalOnly: false, seal: ColumnSeal(lost))
      let rotated = try webhooks.rotate(tenant, id, overlap: .seconds(60), seal: ColumnSeal(old))
      endpoints.append((tenant, id, rotated))
      try await database.withPool { pool in
        _ = try await SealedVault(pool: pool, keys: old).put(secret, for: SecretOwner(tenant: tenant, user: "ann"))
        _ = try await SealedVault(pool: pool, keys: lost).put(secret, for: SecretOwner(tenant: tenant, user: "bob"))
      }
    }
    try database.execute(
      """
      INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, on_ambiguous, recipients, payload)
      SELECT 'acme', 'ann', gen_random_uuid(), now(), 'sub', 1, now(), 'hold', 1, decode(sealed, 'hex')
      FROM (VALUES ('01026b31ff'), ('01026b32ff')) AS p (sealed)
      """)
    let rows = try SealedRows(url: url, keys: both)
    #expect(try rows.left() == .init(grants: 4, webhooks: 2, mails: 1))
    let (moved, left) = try await rows.reseal()
    #expect(moved == .init(grants: 2, webhooks: 2))
    #expect(left == .init(grants: 2, webhooks: 2, mails: 1), "what is under the lost key, and the mail")
    let (again, same) = try await rows.reseal()
    #expect(again == .init() && same == left)
    for endpoint in endpoints {
      let sealed = try database.execute(
        "SELECT encode(secret_sealed, 'hex') FROM webhook_endpoints WHERE id = '\(endpoint.id)'")
      let place = WebhookSecret.place(tenantID: endpoint.tenant, endpointID: endpoint.id)
      let bytes = try #require(sealed[0][0].flatMap { Hex.decode($0) })
      #expect(try ColumnSeal(new).open(bytes, for: place) == endpoint.secret.bytes)
      let owner = SecretOwner(tenant: endpoint.tenant, user: "ann")
      let kept = try await database.withPool { try await SealedVault(pool: $0, keys: new).get(owner) }
      #expect(kept == secret)
    }
  }
}
