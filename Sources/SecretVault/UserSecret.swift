import StrictJSON
package import TLSSession

/// What is kept of a user's grant: a JSON object with the fields that the platform's other tools know.
package struct UserSecret: Sendable, Equatable {
  package var refreshToken: SecretBytes
  /// The account that the token belongs to, so that a secret never serves a row of another account.
  package var googleSub: String?
  package var clientID: String?
  /// Read when another tool wrote it; our own writes leave it out: it is kept once, in `oauth/config`.
  package var clientSecret: SecretBytes?
  package var accessToken: SecretBytes?
  package var expiresAt: String?

  package init(refreshToken: SecretBytes, googleSub: String? = nil, clientID: String? = nil) {
    self.refreshToken = refreshToken
    self.googleSub = googleSub
    self.clientID = clientID
  }

  /// Reads the JSON; fields that we do not know are passed over.
  init(json bytes: [UInt8]) throws(VaultError) {
    guard let object = try? JSONValue(parsing: bytes).objectValue,
      let token = object["refresh_token"]?.stringValue, !token.isEmpty
    else { throw VaultError(.corrupt, "the secret is no JSON object with a refresh_token") }
    refreshToken = SecretBytes(token)
    googleSub = object["google_sub"]?.stringValue
    clientID = object["client_id"]?.stringValue
    clientSecret = object["client_secret"]?.stringValue.map { SecretBytes($0) }
    accessToken = object["access_token"]?.stringValue.map { SecretBytes($0) }
    let expiry = object["expires_at"]
    expiresAt = expiry?.stringValue ?? expiry?.int64Value.map(String.init)
  }

  var json: SecretBytes {
    var writer = JSONWriter()
    writer.object {
      if let clientID { $0.member("client_id", clientID) }
      if let clientSecret { $0.member("client_secret", clientSecret.revealedText) }
      $0.member("refresh_token", refreshToken.revealedText)
      if let accessToken { $0.member("access_token", accessToken.revealedText) }
      if let expiresAt { $0.member("expires_at", expiresAt) }
      if let googleSub { $0.member("google_sub", googleSub) }
    }
    return SecretBytes(writer.finish())
  }
}

/// The operator's OAuth client.
package struct OAuthClientSecret: Sendable, Equatable {
  package let clientID: String
  package let clientSecret: SecretBytes
  package let redirectURI: String?

  init(json bytes: [UInt8]) throws(VaultError) {
    guard let object = try? JSONValue(parsing: bytes).objectValue, let id = object["client_id"]?.stringValue,
      let secret = object["client_secret"]?.stringValue
    else { throw VaultError(.corrupt, "the OAuth client's secret is no JSON object with client_id and client_secret") }
    clientID = id
    clientSecret = SecretBytes(secret)
    redirectURI = object["redirect_uri"]?.stringValue
  }
}
