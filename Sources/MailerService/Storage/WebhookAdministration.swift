import CivilTime
import PostgresClient
import SecretVault
import ServiceContracts
import ServiceKit
import TLSSession
import WireCodec

/// A tenant's endpoints and their deliveries, as the tenant itself administers them. Each change leaves an audit event.
/// A removed endpoint's row stays until it is purged, and is none to anybody here.
final class WebhookAdministration {
  private let pool: PostgresPool
  private let seal: ColumnSeal
  /// For development: endpoints on this very machine, plain http included.
  let allowsLoopback: Bool

  init(pool: PostgresPool, seal: ColumnSeal, allowsLoopback: Bool) {
    self.pool = pool
    self.seal = seal
    self.allowsLoopback = allowsLoopback
  }

  /// Who does it, and for whom.
  struct Actor {
    var tenantID: String
    var credentialID: String
  }

  /// Nil: the tenant has as many as it may.
  func add(
    _ url: WebhookURL, finalOnly: Bool, by actor: Actor
  ) async throws -> (webhook: Mailer.Webhook, secret: WebhookSecret)? {
    let id = "we_" + Hex.encode(SecureRandom.bytes(12))
    let secret = WebhookSecret()
    let row = try await pool.query(
      """
      WITH added AS (SELECT emailmcp.add_webhook($1, $2, $3, $4, $5) AS is_new), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, target)
        SELECT $1, $6, 'webhook.added', $2 FROM added WHERE is_new
      )
      SELECT is_new, now() FROM added
      """,
      [
        .text(actor.tenantID), .text(id), .text(url.description), .bool(finalOnly),
        .bytes(try sealed(secret, actor, id)), .text(actor.credentialID),
      ], tenant: actor.tenantID
    ).only()
    guard try row.column(0, as: Bool.self) else { return nil }
    let time: Timestamp = try row[1]
    let webhook = Mailer.Webhook {
      $0.id = id
      $0.url = url.description
      $0.finalOnly = finalOnly
      $0.enabled = true
      $0.createdAt = ProtobufTimestamp(time)
    }
    return (webhook, secret)
  }

  func exists(_ id: String, tenantID: String) async throws -> Bool {
    try await !pool.query(
      "SELECT FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2 AND removed_at IS NULL",
      [.text(tenantID), .text(id)], tenant: tenantID
    ).isEmpty
  }

  /// All of a tenant's, the oldest first. Deliveries are counted to 100,000.
  func list(_ tenantID: String) async throws -> [Mailer.Webhook] { try await endpoints(tenantID, id: nil) }

  func get(_ id: String, tenantID: String) async throws -> Mailer.Webhook? {
    try await endpoints(tenantID, id: id).first
  }

  private func endpoints(_ tenantID: String, id: String?) async throws -> [Mailer.Webhook] {
    try await pool.queryApart(
      """
      SELECT e.id, e.url, e.final_only, e.disabled_at IS NULL, e.created_at,
        CASE WHEN e.previous_until > now() THEN e.previous_until END, d.pending, d.dead
      FROM webhook_endpoints e CROSS JOIN LATERAL emailmcp.count_deliveries(e.tenant_id, e.id) AS d
      WHERE e.tenant_id = $1 AND ($2::text IS NULL OR e.id = $2) AND e.removed_at IS NULL ORDER BY e.created_at, e.id
      """, [.text(tenantID), .text(id)], tenant: tenantID
    ).map { row in
      var webhook = Mailer.Webhook()
      webhook.id = try row[0]
      webhook.url = try row[1]
      webhook.finalOnly = try row[2]
      webhook.enabled = try row[3]
      webhook.createdAt = ProtobufTimestamp(try row.column(4, as: Timestamp.self))
      webhook.previousSecretUntil = ProtobufTimestamp?(try row.column(5, as: Timestamp?.self))
      webhook.pending = try row[6]
      webhook.dead = try row[7]
      return webhook
    }
  }

  /// Nil: there is no such endpoint.
  func update(
    _ id: String, url: WebhookURL?, finalOnly: Bool?, enabled: Bool?, by actor: Actor
  ) async throws -> Mailer.Webhook? {
    let isThere = try await change(
      "webhook.updated", id, by: actor, "emailmcp.update_webhook($1, $2, $4, $5, $6)",
      [.text(url?.description), .bool(finalOnly), .bool(enabled)])
    return isThere ? try await get(id, tenantID: actor.tenantID) : nil
  }

  /// Nil: there is no such endpoint.
  func rotate(_ id: String, overlap: Duration, by actor: Actor) async throws -> WebhookSecret? {
    let secret = WebhookSecret()
    let isThere = try await change(
      "webhook.rotated", id, by: actor, "emailmcp.rotate_webhook($1, $2, $4, make_interval(secs => $5))",
      [.bytes(try sealed(secret, actor, id)), .seconds(overlap)])
    return isThere ? secret : nil
  }

  /// False: there is no such endpoint.
  func remove(_ id: String, by actor: Actor) async throws -> Bool {
    try await change("webhook.removed", id, by: actor, "emailmcp.remove_webhook($1, $2)", [])
  }

  /// The id of the event that will be told; nil when the endpoint is disabled.
  func test(_ id: String, by actor: Actor) async throws -> String? {
    try await pool.query(
      """
      INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
      SELECT e.tenant_id, e.id, 'msg_' || replace(gen_random_uuid()::text, '-', ''), 'webhook ' || e.id, 'webhook.test',
        jsonb_build_object('type', 'webhook.test', 'timestamp',
          to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
          'data', jsonb_build_object('webhook_id', e.id))::text
      FROM (
        SELECT tenant_id, id FROM webhook_endpoints
        WHERE tenant_id = $1 AND id = $2 AND disabled_at IS NULL AND removed_at IS NULL FOR KEY SHARE) AS e
      RETURNING id
      """, [.text(actor.tenantID), .text(id)], tenant: actor.tenantID
    ).first.map { try $0[0] }
  }

  /// The newest first, from before `sequence`; one more than `limit` when there are more.
  func deliveries(
    _ id: String, state: String?, before sequence: Int64, limit: Int, tenantID: String
  ) async throws -> [(sequence: Int64, delivery: Mailer.WebhookDelivery)] {
    try await pool.query(
      """
      SELECT seq, id, type, subject, state, attempts, created_at, CASE WHEN state = 'pending' THEN next_at END, done_at,
        last_status, coalesce(last_error, '')
      FROM webhook_deliveries
      WHERE tenant_id = $1 AND endpoint_id = $2 AND ($3::text IS NULL OR state = $3) AND seq < $4
      ORDER BY seq DESC LIMIT $5
      """, [.text(tenantID), .text(id), .text(state), .int8(sequence), .int(limit + 1)], tenant: tenantID
    ).map { row in
      var delivery = Mailer.WebhookDelivery()
      delivery.eventID = try row[1]
      delivery.type = try row[2]
      delivery.subject = try row[3]
      delivery.state = try Mailer.WebhookDeliveryState(word: row.column(4, as: String.self)) ?? .unspecified
      delivery.attempts = Int32(try row.column(5, as: Int.self))
      delivery.createdAt = ProtobufTimestamp(try row.column(6, as: Timestamp.self))
      delivery.nextAttemptAt = ProtobufTimestamp?(try row.column(7, as: Timestamp?.self))
      delivery.doneAt = ProtobufTimestamp?(try row.column(8, as: Timestamp?.self))
      delivery.lastStatus = try row.column(9, as: Int?.self).map { Int32($0) }
      delivery.lastError = try row[10]
      return (try row[0], delivery)
    }
  }

  /// Tells again what is dead, or one event in whatever state; answers how many. Many are many transactions, the first of
  /// which is audited for all.
  func replay(_ id: String, event: String?, by actor: Actor) async throws -> Int64 {
    var total: Int64 = 0
    var last: Int64? = 0
    while let after = last {
      let row = try await pool.queryApart(
        """
        WITH replay AS MATERIALIZED (SELECT * FROM emailmcp.replay_deliveries($1, $2, $4, $5)), audited AS (
          INSERT INTO audit_events (tenant_id, actor, action, target)
          SELECT $1, $3, 'webhook.replayed', $2 FROM replay WHERE $6 AND replayed > 0
        )
        SELECT replayed, last FROM replay
        """,
        [
          .text(actor.tenantID), .text(id), .text(actor.credentialID), .text(event), .int8(after), .bool(total == 0),
        ], tenant: actor.tenantID
      ).only()
      total += try row.column(0, as: Int64.self)
      last = try row[1]
    }
    return total
  }

  // MARK: Parts

  /// Calls `function`, which says whether there is the endpoint; `$1` is the tenant, `$2` the id, `$3` the actor.
  private func change(
    _ action: String, _ id: String, by actor: Actor, _ function: String, _ values: [PostgresValue]
  ) async throws -> Bool {
    let sql = """
      WITH change AS MATERIALIZED (SELECT \(function) AS is_done), audited AS (
        INSERT INTO audit_events (tenant_id, actor, action, target)
        SELECT $1, $3, '\(action)', $2 FROM change WHERE is_done
      )
      SELECT is_done FROM change
      """
    return try await pool.query(
      Statement(composed: sql), [.text(actor.tenantID), .text(id), .text(actor.credentialID)] + values,
      tenant: actor.tenantID
    ).only()[0]
  }

  private func sealed(_ secret: WebhookSecret, _ actor: Actor, _ id: String) throws -> [UInt8] {
    try seal.seal(secret.bytes, for: WebhookSecret.place(tenantID: actor.tenantID, endpointID: id))
  }
}
