/// Ways to build the mailer wrong, each of which the simulation must notice.
enum Flaw: CaseIterable {
  /// Writes look neither at the epoch nor at the lease's end.
  case noFence
  /// Nothing is written before the first byte leaves.
  case noIntent
  /// Whoever claims a lapsed mail gets the epoch of the last one.
  case leaseWithoutEpoch
  /// The first byte leaves whatever is left of the lease.
  case noReserve
  /// A request that waits for a connection leaves whenever there is one.
  case requestOutlivesItsLease
  /// libcurl's POSTFIELDS: a connection that closes after the body was read makes it post again by itself.
  case silentSecondPost
  /// The outcome is recorded and then the mail sent.
  case outcomeBeforeRequest
  /// A lost answer is taken for a lost request.
  case retryAfterUnknown
  /// A 5xx is taken for a refusal.
  case serverErrorTakenForRefusal
  /// Any failure to hear an answer is a failure to send.
  case unknownTakenForFailed
  /// The platform is told before the transaction is committed.
  case answerBeforeCommit
  /// A mail whose acceptance was not answered is ended under the epoch of its first lease, whoever has that.
  case takenBackUnderTheFirstEpoch
  /// A mail whose acceptance was not answered is ended although its key may have answered "accepted" since.
  case takenBackInSpiteOfItsKey
  /// Such a mail is ended, and its key goes on naming it.
  case takenBackWithoutItsKey
  /// What a request of unknown fate means for the next is not kept with the mail.
  case failedAfterUnknown
  /// A mail that may have been sent can be taken back.
  case cancelledAfterUnknown
  /// Whether a recipient has unsubscribed is not looked at again after the acceptance.
  case unsubscribedInVain
  /// Idempotency keys are not kept.
  case keyIsForgotten
  /// After the database was away whoever comes first takes the mail of those who cannot have told.
  case noHeadStart
  /// Nobody looks for the mail of dead workers.
  case lapsedLeasesAreLeft
  /// A lease is not renewed while a token is asked for.
  case leaseIsNotRenewedForTheToken
  /// A lease is not renewed while its request is under way.
  case leaseIsNotRenewed
}
