package import RPCRuntime

/// What all services' errors have in common.
package enum ServiceError {
  /// Who coined the reasons in `ErrorInfo`.
  package static let domain = "emailmcp"
}

/// The reason of an error that names none: REST's `code` for its gRPC status.
package enum StatusReason: String, Sendable {
  case invalidRequest = "invalid_request"
  case unauthenticated
  case forbidden
  case notFound = "not_found"
  case conflict
  case notImplemented = "not_implemented"
  case unavailable
  case deadlineExceeded = "deadline_exceeded"
  case `internal`

  package init(_ code: StatusCode) {
    self =
      switch code {
      case .invalidArgument, .outOfRange: .invalidRequest
      case .unauthenticated: .unauthenticated
      case .permissionDenied: .forbidden
      case .notFound: .notFound
      case .failedPrecondition, .aborted, .alreadyExists: .conflict
      case .unimplemented: .notImplemented
      case .resourceExhausted, .unavailable, .cancelled: .unavailable
      case .deadlineExceeded: .deadlineExceeded
      default: .internal
      }
  }
}

extension RPCError {
  /// An error whose reason is the REST `code`: what a service refuses a call with.
  ///
  /// - Parameters:
  ///   - reason: a stable snake_case word.
  ///   - message: one sentence for a person, without anything internal.
  package init(_ code: StatusCode, reason: String, _ message: String, cause: (any Error)? = nil) {
    self.init(code, reason: reason, domain: ServiceError.domain, message, cause: cause)
  }

  /// The error with a reason, which every error of a service has: one without gets its status's.
  package var withReason: RPCError {
    guard errorInfo == nil else { return self }
    let info = ErrorInfo(reason: StatusReason(code).rawValue, domain: ServiceError.domain)
    var error = self
    error.details.insert(ErrorDetail(info), at: 0)
    return error
  }

  /// INVALID_ARGUMENT `invalid_request` with what is wrong with each field.
  package static func invalidRequest(_ violations: [BadRequest.FieldViolation]) -> RPCError {
    RPCError(
      .invalidArgument, reason: "invalid_request", domain: ServiceError.domain, "The request has invalid fields.",
      details: [BadRequest(violations)])
  }

  /// INVALID_ARGUMENT `invalid_request` for one field.
  package static func invalidField(_ field: String, _ description: String) -> RPCError {
    invalidRequest([BadRequest.FieldViolation(field: field, description: description)])
  }
}
