import CivilTime
import MailSyntax

/// The Google account that a user's mail leaves from.
struct MailAccount: Sendable, Equatable {
  /// Google's stable id of the account.
  var googleSub: String
  /// Grows with every consent: names the grant that this was read under.
  var grantVersion: Int64
  var address: MailAddress
}

/// What lets the mailer send for a user, for a while.
struct AccessToken: Sendable, Equatable {
  var account: MailAccount
  var token: String
  /// Names the token when Gmail refuses it.
  var version: Int64
  var expiresAt: Timestamp
}

/// Why there is no token.
enum AccountError: Error, Sendable, Equatable {
  case notConnected
  case reauthRequired
  /// The oauth service, the vault or Google is out of reach.
  case unavailable
}
