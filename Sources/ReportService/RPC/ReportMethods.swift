import WireCodec
import Logging
import PostgresClient
import RPCRuntime
import ServiceContracts

/// The service's methods: requests checked, the store asked, its failures told apart.
struct ReportMethods: Reports.Service {
  let store: ReportStore
  let logger: Logger

  func getUserReport(
    _ request: Reports.GetUserReportRequest, _ call: ServiceCall
  ) async throws -> Reports.GetUserReportResponse {
    try await answering { try await store.userReport(owner(call), try RequestedRange(request.range)) }
  }

  func getSummary(_ request: Reports.GetSummaryRequest, _ call: ServiceCall) async throws -> Reports.GetSummaryResponse
  {
    try await answering { try await store.summary(call.tenantID, try RequestedRange(request.range)) }
  }

  func exportMessages(
    _ request: Reports.ExportMessagesRequest, _ writer: MessageWriter<Reports.ExportMessagesResponse>,
    _ call: ServiceCall
  ) async throws {
    var text = ExportWriter(try form(request.format))
    try await answering {
      try await store.export(owner(call), try RequestedRange(request.range)) { rows in
        for row in rows {
          text.write(row)
          if let piece = text.nextPiece() { try await writer.write(.init { $0.content = piece }) }
        }
      }
      let rest = text.rest()
      if !rest.isEmpty { try await writer.write(.init { $0.content = rest }) }
    }
  }

  private func owner(_ call: ServiceCall) -> Owner { Owner(tenant: call.tenantID, user: call.userID) }

  private func form(_ format: Reports.ExportFormat) throws(RPCError) -> ExportWriter.Form {
    switch format {
    case .unspecified, .csv: .csv
    case .ndjson: .ndjson
    default: throw .invalidField("format", "must be csv or ndjson")
    }
  }

  /// Turns failures into what a caller may see.
  private func answering<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch let problem as RangeProblem {
      throw RPCError(problem)
    } catch let error as PostgresError where error.isUnavailable {
      throw RPCError(
        .unavailable, reason: "unavailable", domain: ServiceError.domain, "Reports are not available at the moment.",
        details: [RetryInfo(retryDelay: .seconds(1))], cause: error)
    } catch let error as PostgresError {
      throw RPCError(.internal, reason: "internal", "The report could not be made.", cause: error)
    }
  }
}
