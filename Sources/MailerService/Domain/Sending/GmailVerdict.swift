import CivilTime

/// What became of one request to Gmail, in the five classes that decide what may happen next.
enum GmailVerdict: Sendable, Equatable {
  case success(messageID: String, threadID: String)
  /// Gmail answered that it did not take the mail.
  case refused(GmailRefusal)
  /// No byte of the mail left: it may be sent again.
  case notSent(reason: String)
  /// The server said that it did not look at the request (RFC 9113 §8.7): it may be sent again.
  case notProcessed
  /// The mail may or may not have been taken: it must not simply be sent again. Where its sender allows that, not before
  /// `retryAt`, if a server that failed said so.
  case unknown(reason: String, retryAt: Timestamp? = nil)
}

/// Why Gmail did not take a mail.
struct GmailRefusal: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    /// The mail itself: 400 `invalidArgument`, `failedPrecondition`.
    case invalidMail
    /// 413, or a `thread_id` or attachment beyond Gmail's own limits.
    case tooLarge
    /// 401: the access token; the body was not looked at.
    case tokenRejected
    /// 403 `insufficientPermissions`: the grant lacks the scope.
    case scopeMissing
    /// 403 `domainPolicy`: the account's administrator does not allow it.
    case domainPolicy
    /// 403 (or a proxy's 407) without a word of Gmail's own: something on the way refused it, or a front end of Google's.
    case forbidden
    /// 403 `accessNotConfigured`: the operator has not switched the Gmail API on.
    case notConfigured
    /// 403 `dailyLimitExceeded`: the whole project's day is used up.
    case projectDay
    /// 403 `rateLimitExceeded`, or a quota whose name ends in `PerProject`: the project's minute.
    case projectRate
    /// Too fast, too many at once.
    case rateLimited
    /// The mailbox has sent its day's share.
    case mailboxDay
  }

  var kind: Kind
  /// When Gmail said when to come back.
  var retryAt: Timestamp?
  /// Google's own `reason` or `status`, for the log: a word, never a sentence with addresses in it.
  var reason: String
}

/// What the transport saw of one request, as far as it matters here.
struct GmailObservation: Sendable, Equatable {
  enum Delivery: Sendable, Equatable { case notSent, notProcessed, unknown, answered }

  var delivery: Delivery
  /// A word of the transport's, e.g. `timeout`.
  var failure: String?
  var status: Int?
  /// The `Retry-After` field's value.
  var retryAfter: String?
  /// The parsed body, as far as it was JSON.
  var answer: GmailAnswer?
}

/// What matters of the JSON that Gmail answers with.
struct GmailAnswer: Sendable, Equatable {
  var id: String?
  var threadID: String?
  /// `error.errors[].reason` and `error.details[].reason`.
  var reasons: [String] = []
  /// `error.status`, e.g. `RESOURCE_EXHAUSTED`.
  var status: String?
  /// `error.details[].metadata.quota_limit`: the name of the quota that was exceeded.
  var quotaLimit: String?
  /// `error.message`.
  var message: String?
}
