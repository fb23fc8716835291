package import RPCRuntime

extension Reports {
  /// What the report service implements. Tenant and user are in the call's context.
  package protocol Service {
    func getUserReport(_ request: GetUserReportRequest, _ call: ServiceCall) async throws -> GetUserReportResponse
    func getSummary(_ request: GetSummaryRequest, _ call: ServiceCall) async throws -> GetSummaryResponse
    func exportMessages(
      _ request: ExportMessagesRequest, _ writer: MessageWriter<ExportMessagesResponse>, _ call: ServiceCall
    ) async throws
  }
}

extension RPCServer {
  /// Serves the service, each method behind a check of its context, which an interceptor must have
  /// verified and attached.
  package func register(_ service: some Reports.Service) {
    let registrar = ServiceRegistrar(server: self)
    let reports = MethodAccess(.edge, scope: "reports")
    registrar.unary(Reports.getUserReport, reports) { try await service.getUserReport($0, $1) }
    registrar.unary(Reports.getSummary, MethodAccess(.edge, scope: "reports:summary", needsUser: false)) {
      try await service.getSummary($0, $1)
    }
    registrar.serverStreaming(Reports.exportMessages, reports) { try await service.exportMessages($0, $1, $2) }
  }
}
