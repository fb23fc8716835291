import CivilTime
import TLSSession
import URLSyntax

/// One attempt of a user to connect an account, from the start to Google's return.
struct AuthorizationFlow: Sendable {
  /// Long enough to log in at Google with a second factor.
  static let lifetime: Duration = .seconds(600)

  let user: UserKey
  let redirectURL: String
  let nonce: String
  let verifier: PKCEVerifier
  let expectedEmail: String?
  let credentialID: String?
}

/// A user of a tenant; compared byte by byte.
struct UserKey: Hashable, Sendable {
  let tenant: String
  let user: String

  static func == (a: UserKey, b: UserKey) -> Bool {
    a.tenant.utf8.elementsEqual(b.tenant.utf8) && a.user.utf8.elementsEqual(b.user.utf8)
  }

  func hash(into hasher: inout Hasher) {
    for byte in tenant.utf8 { hasher.combine(byte) }
    hasher.combine(UInt8(0))
    for byte in user.utf8 { hasher.combine(byte) }
  }
}

/// What a platform may say when it starts a connection.
struct AuthorizationRequest: Sendable {
  let redirectURL: String
  let loginHint: String?
  let expectedEmail: String?

  init(redirectURL: String, loginHint: String?, expectedEmail: String?) throws(OAuthFailure) {
    guard (1...2048).contains(redirectURL.utf8.count) else {
      throw .invalidField("redirect_url", "must have 1 to 2048 bytes")
    }
    // No such URL can be registered; a NUL could not even be looked up.
    guard !redirectURL.unicodeScalars.contains(where: \.isControl) else { throw .redirectNotAllowed }
    for (name, value) in [("login_hint", loginHint), ("expected_email", expectedEmail)] {
      guard let value else { continue }
      guard (1...320).contains(value.unicodeScalars.count), !value.unicodeScalars.contains(where: \.isControl) else {
        throw .invalidField(name, "must have 1 to 320 characters, none of them a control character")
      }
    }
    if let expectedEmail, !expectedEmail.contains("@") { throw .invalidField("expected_email", "must be an address") }
    self.redirectURL = redirectURL
    self.loginHint = loginHint
    self.expectedEmail = expectedEmail
  }

  /// Google's page for this request. The state says nothing about the user.
  func authorizationURL(
    at endpoint: HTTPURL, client: GoogleClient, state: FlowState, nonce: String, verifier: PKCEVerifier
  ) -> String {
    var pairs = [
      ("client_id", client.id), ("redirect_uri", client.redirectURI.description), ("response_type", "code"),
      ("scope", GoogleScope.requested.joined(separator: " ")), ("state", state.text), ("nonce", nonce),
      ("code_challenge", verifier.challenge), ("code_challenge_method", "S256"), ("access_type", "offline"),
      ("prompt", "consent"),
    ]
    if let loginHint { pairs.append(("login_hint", loginHint)) }
    return QueryEncoding.append(pairs, to: endpoint.description)
  }
}

/// Addresses are compared as Gmail does: without regard to the case of ASCII letters.
func isSameAddress(_ a: String, _ b: String) -> Bool {
  a.lowercased().utf8.elementsEqual(b.lowercased().utf8)
}

extension Unicode.Scalar {
  var isControl: Bool { properties.generalCategory == .control }
}
