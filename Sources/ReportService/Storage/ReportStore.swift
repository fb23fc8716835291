import PostgresClient
import ServiceContracts

/// Whose report it is.
struct Owner: Sendable {
  let tenant: String
  let user: String
}

/// Reads reports, each from one snapshot of the database, under the tenant's row-level security.
struct ReportStore {
  let pool: PostgresPool
  /// Connections of their own: an export lasts as long as its reader is slow, and must not hold up the reports.
  let exportPool: PostgresPool
  let zones: ZoneNames

  /// How long one report may take.
  static let userReportTimeout = Duration.seconds(10)
  static let summaryTimeout = Duration.seconds(20)

  init(pool: PostgresPool, exportPool: PostgresPool) {
    self.pool = pool
    self.exportPool = exportPool
    zones = ZoneNames(pool: pool)
  }

  func userReport(_ owner: Owner, _ requested: RequestedRange) async throws -> Reports.GetUserReportResponse {
    try await check(requested)
    return try await pool.transaction(
      tenant: owner.tenant, isolation: .repeatableReadReadOnly, timeout: Self.userReportTimeout
    ) { transaction in
      let range = try await resolve(requested, in: transaction)
      let query = UserReportQuery(owner: owner, range: range)
      return try query.response(try await transaction.commit(query.statements))
    }
  }

  func summary(_ tenant: String, _ requested: RequestedRange) async throws -> Reports.GetSummaryResponse {
    try await check(requested)
    return try await pool.transaction(
      tenant: tenant, isolation: .repeatableReadReadOnly, timeout: Self.summaryTimeout
    ) { transaction in
      let range = try await resolve(requested, in: transaction)
      let query = SummaryQuery(tenant: tenant, range: range)
      return try query.response(try await transaction.commit(query.statements))
    }
  }

  /// Hands over the rows behind a user's report in pieces: outcomes in the order of their time, then what is pending.
  func export(
    _ owner: Owner, _ requested: RequestedRange, _ body: ([ExportRow]) async throws -> Void
  ) async throws {
    try await check(requested)
    try await exportPool.transaction(
      tenant: owner.tenant, isolation: .repeatableReadReadOnly, timeout: Self.summaryTimeout
    ) { transaction in
      let range = try await resolve(requested, in: transaction)
      for statement in [ExportQuery.outcomes, ExportQuery.pending] {
        let parameters = ExportQuery.parameters(owner, range)
        try await transaction.stream(statement, parameters, rowsPerPiece: ExportQuery.rowsPerPiece) { rows in
          try await body(try rows.map { try ExportQuery.row($0) })
        }
      }
    }
  }

  private func check(_ requested: RequestedRange) async throws {
    guard try await zones.contains(requested.zone) else { throw RangeProblem.unknownZone }
  }

  private func resolve(_ requested: RequestedRange, in transaction: PostgresTransaction) async throws -> ReportRange {
    let rows = try await transaction.query(RangeQuery.statement, RangeQuery.parameters(requested))
    return try RangeQuery.range(try rows.only(), requested)
  }
}
