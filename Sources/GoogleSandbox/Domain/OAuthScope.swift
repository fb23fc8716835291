/// The scopes that the stand-in knows. A request for any other is refused, as Google refuses unknown ones.
struct OAuthScope: Hashable, Sendable {
  let name: String
  /// What the consent page says.
  let meaning: String
  /// Scopes that belong to signing in come with it; the others are ticked one by one.
  let isIdentity: Bool

  static let openID = OAuthScope(name: "openid", meaning: "Associate you with your personal info", isIdentity: true)
  static let email = OAuthScope(
    name: "https://www.googleapis.com/auth/userinfo.email", meaning: "See your primary email address", isIdentity: true)
  static let profile = OAuthScope(
    name: "https://www.googleapis.com/auth/userinfo.profile", meaning: "See your personal info", isIdentity: true)
  static let gmailSend = OAuthScope(
    name: "https://www.googleapis.com/auth/gmail.send", meaning: "Send email on your behalf", isIdentity: false)
  static let gmailCompose = OAuthScope(
    name: "https://www.googleapis.com/auth/gmail.compose", meaning: "Manage drafts and send emails", isIdentity: false)
  static let gmailModify = OAuthScope(
    name: "https://www.googleapis.com/auth/gmail.modify", meaning: "Read, compose, and send emails", isIdentity: false)
  static let gmailReadOnly = OAuthScope(
    name: "https://www.googleapis.com/auth/gmail.readonly", meaning: "View your email messages and settings",
    isIdentity: false)
  static let mail = OAuthScope(
    name: "https://mail.google.com/", meaning: "Read, compose, send, and permanently delete all your email",
    isIdentity: false)

  static let known = [openID, email, profile, gmailSend, gmailCompose, gmailModify, gmailReadOnly, mail]

  /// Any of these allows `messages.send`.
  static let allowingSend: Set<OAuthScope> = [gmailSend, gmailCompose, gmailModify, mail]

  /// `email` and `profile` are short names; answers carry the long ones.
  init?(_ name: some StringProtocol) {
    switch name {
    case "email": self = .email
    case "profile": self = .profile
    default:
      guard let scope = Self.known.first(where: { $0.name == name }) else { return nil }
      self = scope
    }
  }

  private init(name: String, meaning: String, isIdentity: Bool) {
    self.name = name
    self.meaning = meaning
    self.isIdentity = isIdentity
  }
}

extension Sequence<OAuthScope> {
  /// As a token answer spells it.
  var spaceSeparated: String { map(\.name).joined(separator: " ") }
}
