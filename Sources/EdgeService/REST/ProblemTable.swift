import RPCRuntime
import ServiceContracts
import StrictJSON

/// The one place where the services' errors become HTTP's.
enum ProblemTable {
  /// By reason, which is the REST `code`.
  static let statuses: [String: Int] = [
    "invalid_request": 400, "redirect_url_not_allowed": 400, "invalid_state": 400, "consent_denied": 400,
    "user_binding_required": 400, "invalid_cursor": 400, "invalid_time_zone": 400, "range_too_large": 400,
    "missing_scope": 403, "from_not_allowed": 403, "tenant_disabled": 403,
    "not_found": 404,
    "not_connected": 409, "reauth_required": 409, "idempotency_in_flight": 409, "too_late": 409, "cancelled": 409,
    "too_many_webhooks": 409, "webhook_disabled": 409,
    "message_too_large": 413,
    "scope_not_granted": 422, "unexpected_account": 422, "email_not_verified": 422, "idempotency_key_reused": 422,
    "gmail_rejected": 422, "recipient_suppressed": 422,
    "gmail_rate_limited": 429, "too_many_unsent": 429,
    "google_unavailable": 502, "invalid_id_token": 502, "no_refresh_token": 502, "outcome_unknown": 502,
    "google_error": 502,
    "unavailable": 503, "vault_unavailable": 503, "google_not_configured": 503, "gmail_not_configured": 503,
    "unsubscribe_not_configured": 503,
  ]

  static func problem(for error: RPCError) -> Problem {
    var problem = base(for: error)
    if let violations = error.badRequest?.fieldViolations, !violations.isEmpty, [400, 422].contains(problem.status) {
      problem.fields = violations.map { JSONFieldErrors.Item(field: $0.field, message: $0.description) }
    }
    if let delay = error.retryInfo?.retryDelay {
      problem.retryAfter = max(1, Int((delay.components.seconds) + (delay.components.attoseconds > 0 ? 1 : 0)))
    } else if problem.status == 429 || problem.code == "idempotency_in_flight"
      || problem.status == 503 && [.unavailable, .resourceExhausted, .cancelled].contains(error.code)
    {
      problem.retryAfter = 1
    }
    if problem.status == 429, let quota = error.quotaFailure?.violations.first, quota.quotaValue > 0 {
      problem.tellLimit(quota.quotaID, quota: quota.quotaValue)
    }
    return problem
  }

  private static func base(for error: RPCError) -> Problem {
    // The runtime's own errors have this reason too, with sentences that are not for REST's callers.
    let info = error.errorInfo.flatMap { $0.reason == "unavailable" ? nil : $0 }
    if let info, info.domain == ServiceError.domain, let status = statuses[info.reason] {
      return Problem(status, info.reason, error.message)
    }
    if error.code == .resourceExhausted, error.quotaFailure != nil {
      return Problem(429, "too_many_requests", "Too much was asked for; try again later.")
    }
    return switch StatusReason(error.code) {
    case .invalidRequest: .malformed("The request is invalid.")
    case .conflict: Problem(409, .conflict, "This cannot be done now.")
    case .forbidden: Problem(403, .forbidden, "This is not allowed.")
    case .notFound: .notFound
    case .notImplemented: Problem(501, .notImplemented, "This is not implemented.")
    case .unavailable: .unavailable
    case .deadlineExceeded: Problem(504, .deadlineExceeded, "The answer did not come in time.")
    // Who shows the edge no valid certificate is no caller of REST.
    case .unauthenticated, .internal: Problem(502, .internal, "Something went wrong inside the service.")
    }
  }

  /// A mail that was kept and did not, or perhaps did not, leave. That is final: no `Retry-After`.
  static func problem(for response: Mailer.SendMessageResponse) -> Problem {
    let (usual, sentence) =
      switch response.status {
      case .unknown: ("outcome_unknown", "Nobody can tell whether Gmail took the mail.")
      case .cancelled: ("cancelled", "The mail was cancelled before it left.")
      default: ("gmail_rejected", "Gmail did not take the mail.")
      }
    let code = response.error?.code ?? usual
    let status = statuses[code] ?? (response.status == .unknown ? 502 : 422)
    var problem = Problem(status, code, response.error?.message ?? sentence)
    problem.message = .init(id: response.id, status: response.status.word ?? "unknown", isReplay: response.replayed)
    return problem
  }
}

extension Problem {
  fileprivate init(_ status: Int, _ reason: StatusReason, _ error: String) {
    self.init(status, reason.rawValue, error)
  }
}
