import PostgresClient
import RPCRuntime
import ServiceContracts

/// The errors of the mailer's methods: nothing was kept.
extension RPCError {
  static let notConnected = RPCError(
    .failedPrecondition, reason: "not_connected", "This user has no connected Gmail account.")
  static let reauthRequired = RPCError(
    .failedPrecondition, reason: "reauth_required", SendError.reauthRequired.message)
  static let fromNotAllowed = RPCError(
    .permissionDenied, reason: "from_not_allowed", "The sender's address is not that of the connected account.")
  static let tenantDisabled = RPCError(
    .permissionDenied, reason: "tenant_disabled", "This tenant has been disabled by the service's operator.")
  static let messageTooLarge = RPCError(
    .invalidArgument, reason: "message_too_large", "The mail is larger than 25 MiB.")
  static let keyReused = RPCError(
    .invalidArgument, reason: "idempotency_key_reused", "This idempotency key was used for another request.")
  static let notFound = RPCError(.notFound, reason: "not_found", "There is no such message.")
  static let noSuppression = RPCError(
    .notFound, reason: "not_found", "This is not on the suppression list.")
  static let noLink = RPCError(.notFound, reason: "not_found", "This link leads nowhere.")
  static let unsubscribeNotConfigured = RPCError(
    .failedPrecondition, reason: "unsubscribe_not_configured",
    "The operator has not said at which address unsubscribe links lead here.")
  static let tooLate = RPCError(.failedPrecondition, reason: "too_late", "The message can no longer be cancelled.")
  static let invalidCursor = RPCError(
    .invalidArgument, reason: "invalid_cursor", "The cursor does not belong to this request.")

  static let keyInFlight = RPCError(
    .aborted, reason: "idempotency_in_flight", domain: ServiceError.domain,
    "The first request with this idempotency key is still under way.", details: [RetryInfo(retryDelay: .seconds(1))])

  static func tooManyUnsent(limit: Int) -> RPCError {
    let quota = QuotaFailure.Violation(
      subject: "tenant", description: "accepted but unsent mails", quotaID: "unsent", quotaValue: Int64(limit))
    return RPCError(
      .resourceExhausted, reason: "too_many_unsent", domain: ServiceError.domain,
      "Too many accepted mails of this tenant wait to be sent.",
      details: [QuotaFailure([quota]), RetryInfo(retryDelay: .seconds(5))])
  }

  /// - Parameter fields: which recipients, e.g. `to[3]`.
  static func recipientSuppressed(_ fields: [String]) -> RPCError {
    RPCError(
      .failedPrecondition, reason: "recipient_suppressed", domain: ServiceError.domain,
      "A recipient is on the suppression list.",
      details: [
        BadRequest(
          fields.map { .init(field: $0, description: "This address is on the suppression list.") })
      ])
  }

  static func unavailable(_ cause: (any Error)? = nil) -> RPCError {
    RPCError(
      .unavailable, reason: "unavailable", domain: ServiceError.domain, "The service cannot do this just now.",
      details: [RetryInfo(retryDelay: .seconds(1))], cause: cause)
  }

  init(_ error: AccountError) {
    switch error {
    case .notConnected: self = .notConnected
    case .reauthRequired: self = .reauthRequired
    case .unavailable: self = .unavailable(error)
    }
  }

  init(_ invalid: InvalidMessage) {
    self = .invalidRequest(invalid.violations.map { .init(field: $0.field, description: $0.message) })
  }

  /// What a call fails with: its own refusal, or "unavailable" for a database that is out of reach.
  static func of(_ error: any Error) -> any Error {
    switch error {
    case is RPCError, is CancellationError: error
    case let error as PostgresError where error.isUnavailable || error.isRetryable: unavailable(error)
    default: RPCError(.internal, "The call failed.", cause: error)
    }
  }
}
