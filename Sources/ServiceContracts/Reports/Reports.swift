public import RPCRuntime

/// Every error carries a google.rpc.ErrorInfo with domain "emailmcp"; its reason is named at each method. Tenant and
/// user come from the call's context (emailmcp.common.v1.CallContext).  A mail counts where its outcome lies
/// (`sent_at`). Total is successful + failed + unknown; a cancelled mail counts nowhere. A day is a day of the asked
/// time zone: 23, 24 or 25 hours long.
public enum Reports {
  /// The service's full name.
  public static let service = "emailmcp.report.v1.Reports"

  /// The report of the context's user.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request` with a BadRequest, `invalid_time_zone`, `range_too_large` (> 400 days).
  public static let getUserReport = UnaryMethod<GetUserReportRequest, GetUserReportResponse>(service, "GetUserReport")

  /// The report of the whole tenant, at most 5 s behind.
  ///
  /// Errors: as GetUserReport.
  public static let getSummary = UnaryMethod<GetSummaryRequest, GetSummaryResponse>(service, "GetSummary")

  /// The rows behind the context's user's report, as text in whole lines: the outcomes that it counts in the order of
  /// their time, then the mails that it calls pending.
  ///
  /// Errors: as GetUserReport.
  public static let exportMessages = ServerStreamingMethod<ExportMessagesRequest, ExportMessagesResponse>(
    service, "ExportMessages")
}
