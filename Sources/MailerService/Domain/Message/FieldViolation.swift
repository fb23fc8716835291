/// One field of a message that cannot be sent as it is, with a sentence for the person who wrote it.
struct FieldViolation: Error, Hashable, Sendable {
  /// The REST field, e.g. `to[3]` or `attachments[0].filename`.
  var field: String
  /// What to mend; never repeats the value.
  var message: String
}

/// A message that cannot be sent: everything that is wrong with it, at once.
struct InvalidMessage: Error, Hashable, Sendable {
  var violations: [FieldViolation]
}
