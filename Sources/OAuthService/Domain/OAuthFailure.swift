/// Why a request about a connection was not fulfilled: the reason is the REST `code`, the message is safe to show.
struct OAuthFailure: Error, Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    /// The caller's input is wrong.
    case invalidInput
    /// The input is right but the account, the user's consent or the operator's set-up stands against it.
    case precondition
    /// Google or the vault cannot be used just now.
    case unavailable
    /// Google answered what it must not.
    case badAnswer
    /// What was begun is used up: it can be tried again from its beginning alone.
    case abandoned
  }

  let kind: Kind
  let reason: String
  let message: String
  /// The field that is wrong, where it is one.
  var field: String?

  /// - Parameter message: completes "`field` …".
  static func invalidField(_ field: String, _ message: String) -> OAuthFailure {
    OAuthFailure(kind: .invalidInput, reason: "invalid_request", message: message, field: field)
  }
  static let redirectNotAllowed = OAuthFailure(
    kind: .invalidInput, reason: "redirect_url_not_allowed",
    message: "The redirect URL is not one of those registered for this platform.")
  static let googleNotConfigured = OAuthFailure(
    kind: .precondition, reason: "google_not_configured", message: "No Google OAuth client is configured.")
  /// One answer for unknown, expired, used, another tenant's and another user's: it tells an attacker nothing.
  static let invalidState = OAuthFailure(
    kind: .invalidInput, reason: "invalid_state", message: "This connection attempt is not valid any more. Start again."
  )
  static let consentDenied = OAuthFailure(
    kind: .invalidInput, reason: "consent_denied", message: "The access to Gmail was not granted.")
  static let userBindingRequired = OAuthFailure(
    kind: .invalidInput, reason: "user_binding_required", message: "Say which user is logged in (user_id).")
  static let scopeNotGranted = OAuthFailure(
    kind: .precondition, reason: "scope_not_granted",
    message: "The permission to send mail was not ticked on Google's page. Connect again and tick it.")
  static let unexpectedAccount = OAuthFailure(
    kind: .precondition, reason: "unexpected_account",
    message: "Another Google account was chosen than the expected one.")
  static let emailNotVerified = OAuthFailure(
    kind: .precondition, reason: "email_not_verified", message: "Google has not verified this account's address.")
  static let googleUnavailable = OAuthFailure(
    kind: .unavailable, reason: "google_unavailable", message: "Google cannot be reached just now. Try again.")
  static let invalidIDToken = OAuthFailure(
    kind: .badAnswer, reason: "invalid_id_token", message: "Google's answer about the account could not be verified.")
  static let noRefreshToken = OAuthFailure(
    kind: .badAnswer, reason: "no_refresh_token", message: "Google gave no lasting access. Connect again.")
  static let notConnected = OAuthFailure(
    kind: .precondition, reason: "not_connected", message: "This user has no connected Gmail account.")
  static let reauthRequired = OAuthFailure(
    kind: .precondition, reason: "reauth_required", message: "Google asks the user to connect the account again.")
  static let vaultUnavailable = OAuthFailure(
    kind: .unavailable, reason: "vault_unavailable", message: "The secret store cannot be reached just now. Try again.")

  /// The same in the middle of a connection whose state is used up: only a new one can succeed.
  var whileConnecting: OAuthFailure {
    switch reason {
    case "google_unavailable":
      OAuthFailure(
        kind: .abandoned, reason: reason, message: "Google could not be reached; nothing was connected. Connect again.")
    case "vault_unavailable":
      OAuthFailure(
        kind: .abandoned, reason: reason,
        message: "The secret store could not be reached; nothing was connected. Connect again.")
    default: self
    }
  }
}
