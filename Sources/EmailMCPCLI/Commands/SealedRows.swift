import EventLoop
import PostgresClient
import SecretVault
import ServiceKit
import TLSSession

/// What the database keeps for longer than an hour under the vault's keys. An older key may go when nothing is under it.
struct SealedRows {
  private let url: String
  private let keys: Keyring
  private let session: BlockingSession

  struct Count: Hashable {
    var grants = 0
    /// Endpoints, by their secrets.
    var webhooks = 0
    /// They leave sooner or later, and are not sealed anew.
    var mails = 0
  }

  init(url: String, keys: Keyring) throws {
    self.url = url
    self.keys = keys
    session = try BlockingSession(url: url)
  }

  /// Moves all that opens to the newest key; what is written meanwhile is under it already. Counts what is left once, for
  /// that reads the whole queue.
  func reseal() async throws -> (moved: Count, left: Count) {
    var moved = Count()
    var owners: [SecretOwner] = []
    for tenant in try Tenants(session).list() {
      owners += try olderGrants(of: tenant.name)
      moved.webhooks += try resealWebhooks(of: tenant.name)
    }
    try await resealGrants(of: owners)
    let left = try left()
    moved.grants = max(0, owners.count - left.grants)
    return (moved, left)
  }

  /// What is not under the newest key.
  func left() throws -> Count {
    var count = Count()
    for tenant in try Tenants(session).list() {
      let row = try session.transaction(tenant: tenant.name) {
        // Format, length of the key's id, the id: see ColumnSeal.
        func isOlder(_ column: String) -> String {
          "substring(\(column) FROM 3 FOR get_byte(substring(\(column) FROM 2 FOR 1), 0)) <> convert_to($2, 'UTF8')"
        }
        return try session.execute(
          """
          SELECT
            (SELECT count(*) FROM vault_secrets WHERE tenant_id = $1 AND key_id <> $2 AND deleted_at IS NULL),
            (SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1 AND removed_at IS NULL
              AND (\(isOlder("secret_sealed")) OR previous_until > now() AND \(isOlder("previous_sealed")))),
            (SELECT count(*) FROM send_jobs WHERE tenant_id = $1 AND \(isOlder("payload")))
          """, [tenant.name, keys.newest.id])[0]
      }
      count.grants += Int(row[0]!)!
      count.webhooks += Int(row[1]!)!
      count.mails += Int(row[2]!)!
    }
    return count
  }

  private func olderGrants(of tenant: String) throws -> [SecretOwner] {
    try session.transaction(tenant: tenant) {
      try session.execute(
        "SELECT user_id, provider FROM vault_secrets WHERE tenant_id = $1 AND key_id <> $2 AND deleted_at IS NULL",
        [tenant, keys.newest.id])
    }.map { SecretOwner(tenant: tenant, user: $0[0]!, provider: $0[1]!) }
  }

  /// The vault seals anew what it reads under an older key.
  private func resealGrants(of owners: [SecretOwner]) async throws {
    guard !owners.isEmpty else { return }
    let (configuration, ring) = (try PostgresConfiguration(url: url), keys)
    let loop = try EventLoop.start(name: "vault")
    await loop.run { reactor -> Void in
      let pool = PostgresPool(configuration, reactor: reactor)
      let vault = SealedVault(pool: pool, keys: ring)
      // One that does not open stays as it is, and is counted.
      for owner in owners { _ = try? await vault.get(owner) }
      await pool.close()
    }
    await loop.shutdown()
  }

  private func resealWebhooks(of tenant: String) throws -> Int {
    let seal = ColumnSeal(keys)
    return try session.transaction(tenant: tenant) {
      let rows = try session.execute(
        """
        SELECT id, encode(secret_sealed, 'hex'), CASE WHEN previous_until > now() THEN encode(previous_sealed, 'hex') END
        FROM webhook_endpoints WHERE tenant_id = $1 AND removed_at IS NULL ORDER BY id FOR NO KEY UPDATE
        """, [tenant])
      return try rows.count { row in
        let (id, place) = (row[0]!, WebhookSecret.place(tenantID: tenant, endpointID: row[0]!))
        let anew = row[1...].map { $0.flatMap { Hex.decode($0) }.flatMap { try? seal.sealAgain($0, for: place) } }
        guard anew.contains(where: { $0 != nil }) else { return false }
        try session.execute(
          """
          UPDATE webhook_endpoints SET secret_sealed = coalesce(decode($3, 'hex'), secret_sealed),
            previous_sealed = coalesce(decode($4, 'hex'), previous_sealed)
          WHERE tenant_id = $1 AND id = $2
          """, [tenant, id] + anew.map { $0.map { Hex.encode($0) } })
        return true
      }
    }
  }
}
