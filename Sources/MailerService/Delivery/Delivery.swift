import CivilTime

/// A mail in a worker's hands, and what it is sent with.
struct Delivery {
  var key: MailKey
  var googleSub: String
  var mail: MailPayload
  /// At hand already, from the acceptance.
  var token: AccessToken?
  /// Whether the database has the payload too.
  var isPayloadStored: Bool
  /// The user's other mail waits for it to get a token.
  var looksForAccount = false

  var user: UserKey { key.user }
}

/// How a worker's work on a mail ended.
enum DeliveryEnd: Sendable, Equatable {
  case final(SendOutcome, at: Timestamp)
  /// Back in the queue.
  case requeued
  /// Somebody else has it now.
  case lost
}
