/// The final status of a mail, with what the log and the sender are told.
enum SendOutcome: Sendable, Equatable {
  case success(messageID: String, threadID: String)
  case failed(SendError)
  case unknown(SendError)

  /// As `email_logs.status` has it.
  var status: String {
    switch self {
    case .success: "success"
    case .failed: "failed"
    case .unknown: "unknown"
    }
  }

  var error: SendError? {
    switch self {
    case .success: nil
    case .failed(let error), .unknown(let error): error
    }
  }
}

/// Why a mail was not, or perhaps not, sent.
struct SendError: Error, Sendable, Hashable {
  /// Stable: the REST `code`.
  var code: String
  /// A sentence to show; no address, no token.
  var message: String

  static let rejected = SendError(code: "gmail_rejected", message: "Gmail did not accept this mail.")
  static let tooLarge = SendError(code: "message_too_large", message: "The mail is larger than Gmail accepts.")
  static let domainPolicy = SendError(
    code: "gmail_rejected", message: "The administrator of this Google account does not allow sending this way.")
  static let notConfigured = SendError(
    code: "gmail_not_configured", message: "The Gmail API is not enabled for this service's Google project.")
  static let reauthRequired = SendError(
    code: "reauth_required", message: "The Gmail account is no longer connected; connect it again.")
  static let otherAccount = SendError(
    code: "from_not_allowed", message: "Another Gmail account has been connected since this mail was accepted.")
  static let recipientSuppressed = SendError(
    code: "recipient_suppressed",
    message: "A recipient has come onto the suppression list since this mail was accepted; it was not sent.")
  static let outcomeUnknown = SendError(
    code: "outcome_unknown", message: "Gmail's answer was lost: the mail may or may not have been sent.")
  static let notAccepted = SendError(
    code: "unavailable", message: "The service could not confirm that it took this mail; it was not sent.")
  static let unreadable = SendError(
    code: "unavailable", message: "The mail could not be read back from the queue; it was not sent.")
  static let forbidden = SendError(
    code: "unavailable", message: "Requests to Gmail were refused on their way; the mail was not sent.")
  static let gaveUp = SendError(
    code: "unavailable", message: "Gmail could not be reached in time; the mail was not sent.")
}
