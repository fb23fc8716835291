import CivilTime
import PostgresClient

/// The outbox of webhooks, which the database's triggers fill.
final class WebhookStore {
  private let pool: PostgresPool

  init(pool: PostgresPool) { self.pool = pool }

  struct Claim: Sendable {
    var tenantID: String
    var endpointID: String
    var sequence: Int64
    /// The `webhook-id`.
    var id: String
    var type: String
    var payload: [UInt8]
    /// Counts from 1, and is the claim's fence.
    var attempt: Int
    /// The same since the event was last told again: what the schedule goes by.
    var tries: Int
    var url: String
    var sealedSecret: [UInt8]
    var previousSecret: [UInt8]?
  }

  /// What one endpoint has under way here.
  struct Busy: Sendable {
    var tenantID: String
    var endpointID: String
    var count: Int
  }

  /// At most so many of one endpoint and of one tenant are under way then, those that are `busy` included.
  func claim(perEndpoint: Int, perTenant: Int, limit: Int, lease: Duration, busy: [Busy]) async throws -> [Claim] {
    try await pool.query(
      """
      SELECT tenant_id, endpoint_id, seq, id, type, payload, attempts, tries, url, secret_sealed, previous_sealed
      FROM emailmcp.claim_webhooks($1, $2, $3, make_interval(secs => $4), $5, $6, $7) ORDER BY seq
      """,
      [
        .int4(Int32(perEndpoint)), .int4(Int32(perTenant)), .int4(Int32(limit)), .seconds(lease),
        .textArray(busy.map(\.tenantID)), .textArray(busy.map(\.endpointID)), .int4Array(busy.map { Int32($0.count) }),
      ]
    ).map { row in
      Claim(
        tenantID: try row[0], endpointID: try row[1], sequence: try row[2], id: try row[3], type: try row[4],
        payload: Array(try row.column(5, as: String.self).utf8), attempt: try row[6], tries: try row[7],
        url: try row[8], sealedSecret: try row[9], previousSecret: try row[10])
    }
  }

  func finish(
    _ claim: Claim, _ verdict: WebhookAttempt.Verdict, status: Int?, error: String?, isSlow: Bool
  ) async throws {
    let (state, delay, disables): (String, Duration, Bool) =
      switch verdict {
      case .delivered: ("delivered", .zero, false)
      case .retry(let delay): ("pending", delay, false)
      case .dead(let disables): ("dead", .zero, disables)
      }
    try await pool.query(
      "SELECT emailmcp.finish_webhook($1, $2, $3, $4, $5, make_interval(secs => $6), $7, $8, $9, $10)",
      [
        .text(claim.tenantID), .text(claim.endpointID), .int8(claim.sequence), .int4(Int32(claim.attempt)),
        .text(state), .seconds(delay), .int4(status.map { Int32($0) }), .text(error), .bool(disables), .bool(isSlow),
      ])
  }

  /// Deliveries that wait, counted to 100,000.
  func pending() async throws -> Int { try await pool.queryApart("SELECT emailmcp.count_webhooks()").only()[0] }

  func purge() async throws {
    try await pool.repeatApart("SELECT emailmcp.purge_webhooks($1)", timeout: .seconds(20))
  }
}
