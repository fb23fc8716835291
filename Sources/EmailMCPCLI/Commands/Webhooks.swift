import ArgumentParser
import PostgresClient
import SecretVault
import ServiceKit
import TLSSession

/// A tenant's webhook endpoints and their deliveries, as the owner of the database administers them.
struct Webhooks {
  private let session: BlockingSession
  private let tenants: Tenants

  init(url: String) throws {
    session = try BlockingSession(url: url)
    tenants = Tenants(session)
  }

  func add(_ tenant: String, _ url: WebhookURL, finalOnly: Bool, seal: ColumnSeal) throws -> (
    id: String, secret: WebhookSecret
  ) {
    let id = "we_" + Hex.encode(SecureRandom.bytes(12))
    let secret = WebhookSecret()
    let sealed = try seal.seal(secret.bytes, for: WebhookSecret.place(tenantID: tenant, endpointID: id))
    try session.transaction(tenant: tenant) {
      try tenants.requireTenant(tenant)
      let added = try session.execute(
        "SELECT emailmcp.add_webhook($1, $2, $3, $4::boolean, decode($5, 'hex'))",
        [tenant, id, url.description, finalOnly ? "true" : "false", Hex.encode(sealed)])
      guard added.first?[0] == "t" else { throw ValidationError("\(tenant) has 16 endpoints already") }
      try tenants.audit(tenant, "webhook.added", target: id)
    }
    return (id, secret)
  }

  func list(_ tenant: String) throws -> [[String?]] {
    try session.transaction(tenant: tenant) {
      try tenants.requireTenant(tenant)
      return try session.execute(
        """
        SELECT e.id, e.url, CASE WHEN e.final_only THEN 'final' ELSE 'all' END,
          CASE WHEN e.disabled_at IS NULL THEN 'enabled' ELSE 'disabled' END, d.pending, d.dead
        FROM webhook_endpoints e CROSS JOIN LATERAL emailmcp.count_deliveries(e.tenant_id, e.id) AS d
        WHERE e.tenant_id = $1 AND e.removed_at IS NULL ORDER BY e.created_at, e.id
        """, [tenant])
    }
  }

  func remove(_ tenant: String, _ id: String) throws {
    try change("webhook.removed", tenant, id, "emailmcp.remove_webhook($1, $2)")
  }

  /// Lets a disabled endpoint have webhooks again.
  func enable(_ tenant: String, _ id: String) throws {
    try change("webhook.enabled", tenant, id, "emailmcp.update_webhook($1, $2, NULL, NULL, true)")
  }

  /// A new secret; the old one signs beside it for `overlap`.
  func rotate(_ tenant: String, _ id: String, overlap: Duration, seal: ColumnSeal) throws -> WebhookSecret {
    guard WebhookSecret.overlaps ~= overlap else { throw ValidationError("the old secret signs too for at most 7d") }
    let secret = WebhookSecret()
    let sealed = try seal.seal(secret.bytes, for: WebhookSecret.place(tenantID: tenant, endpointID: id))
    try change(
      "webhook.rotated", tenant, id,
      "emailmcp.rotate_webhook($1, $2, decode($3, 'hex'), make_interval(secs => $4::float8))",
      [Hex.encode(sealed), String(overlap.components.seconds)])
    return secret
  }

  /// Calls `function`, which says whether there is the endpoint; `$1` is the tenant, `$2` the id.
  private func change(
    _ action: String, _ tenant: String, _ id: String, _ function: String, _ values: [String] = []
  ) throws {
    try session.transaction(tenant: tenant) {
      let isDone = try session.execute("SELECT \(function)", [tenant, id] + values)[0][0] == "t"
      guard isDone else { throw Self.unknown(tenant, id) }
      try tenants.audit(tenant, action, target: id)
    }
  }

  /// The newest deliveries in a state.
  func deliveries(_ tenant: String, _ id: String, state: String, limit: Int) throws -> [[String?]] {
    try session.transaction(tenant: tenant) {
      try require(tenant, id)
      return try session.execute(
        """
        SELECT id, type, subject, attempts, created_at::timestamptz(0)::text, coalesce(last_error, '')
        FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND state = $3
        ORDER BY seq DESC LIMIT $4::integer
        """, [tenant, id, state, String(limit)])
    }
  }

  /// Tells again what is dead (all of it, or one event in whatever state); answers how many. Many are many transactions,
  /// the first of which is audited for all.
  func replay(_ tenant: String, _ id: String, event: String?) throws -> Int {
    var total = 0
    var last: String? = "0"
    try session.transaction(tenant: tenant) { try require(tenant, id) }
    while let after = last {
      try session.transaction(tenant: tenant) {
        let chunk = try session.execute(
          "SELECT replayed, last FROM emailmcp.replay_deliveries($1, $2, $3, $4::bigint)", [tenant, id, event, after])
        let replayed = Int(chunk[0][0]!)!
        if total == 0, replayed > 0 { try tenants.audit(tenant, "webhook.replayed", target: id) }
        total += replayed
        last = chunk[0][1]
      }
    }
    if let event, total == 0 {
      throw ValidationError("the endpoint \(id) was told of no event \(event), or still will be")
    }
    return total
  }

  private func require(_ tenant: String, _ id: String) throws {
    let found = try session.execute(
      "SELECT FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL", [tenant, id])
    if found.isEmpty { throw Self.unknown(tenant, id) }
  }

  private static func unknown(_ tenant: String, _ id: String) -> ValidationError {
    ValidationError("\(tenant) has no webhook endpoint \(id); emailmcp webhook list --tenant \(tenant)")
  }
}
