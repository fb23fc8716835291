/// What a credential allows.
enum Scope: String, Sendable, CaseIterable {
  case connect
  case send
  case read
  case reports
  case summary = "reports:summary"
  case admin

  /// Scopes that a user token may never have: they reach beyond one user.
  var isKeyOnly: Bool { self == .summary || self == .admin }
}
