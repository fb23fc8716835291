import TLSSession
import URLSyntax

/// Where Google's OAuth lives; tests and the sandbox set their own.
struct GoogleEndpoints: Hashable, Sendable {
  var authorization: HTTPURL
  var token: HTTPURL
  var revocation: HTTPURL
  var keys: HTTPURL
  /// The `iss` of id_tokens.
  var issuer: String

  /// Google's own `iss` comes in two spellings.
  func accepts(issuer claimed: String) -> Bool {
    claimed == issuer || (issuer == "https://accounts.google.com" && claimed == "accounts.google.com")
  }
}

/// Our client at Google.
struct GoogleClient: Hashable, Sendable {
  let id: String
  let secret: SecretBytes
  let redirectURI: HTTPURL

  static func == (a: GoogleClient, b: GoogleClient) -> Bool {
    a.id == b.id && a.redirectURI == b.redirectURI && a.secret == b.secret
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(id)
    hasher.combine(redirectURI)
  }

  /// Google returns the browser to our own `GET /v1/oauth/callback`, not to the platform's page: then pages only ever
  /// see one-time handles, and a raw code in their hands is a forgery.
  var usesOwnCallback: Bool { redirectURI.path == "/v1/oauth/callback" }
}

/// The scopes that we ask for, and the one that we cannot do without.
enum GoogleScope {
  static let send = "https://www.googleapis.com/auth/gmail.send"
  static let requested = ["openid", "email", send]
}
