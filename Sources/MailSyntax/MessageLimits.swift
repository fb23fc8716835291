/// The bounds of one message; each has its reason in the API's contract or in what Gmail takes.
package enum MessageLimits {
  /// Gmail: 500 recipients a message.
  package static let recipients = 500
  /// Unicode scalars.
  package static let subject = 998
  package static let replyTo = 20
  package static let attachments = 100
  /// Unicode scalars, what common file systems take.
  package static let filename = 255
  package static let headers = 50
  /// Octets.
  package static let headerName = 76
  /// Octets; a long `References` chain fits.
  package static let headerValue = 8192
  package static let metadata = 16
  /// Unicode scalars.
  package static let metadataKey = 128
  package static let metadataValue = 1024
  /// The MIME that Gmail takes, in bytes.
  package static let mime = 25 * 1024 * 1024
  /// A `send_at` this far back still means now: clocks differ.
  package static let pastTolerance: Duration = .seconds(60)
  package static let scheduleAhead: Duration = .seconds(365 * 86_400)
  /// Violations named in one answer.
  package static let violations = 50
}
