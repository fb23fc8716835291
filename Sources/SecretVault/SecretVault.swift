/// Where users' secrets are kept. Two kinds, one contract (and one suite of tests): rows sealed in Postgres, and AWS
/// Secrets Manager.
///
/// Lives on its loop. Write when a grant changes and only then: Secrets Manager advises at most one write per secret in
/// ten minutes.
package protocol SecretVault: AnyObject {
  /// Stores the secret, in place of one that is there; a deleted one is restored first.
  ///
  /// - Returns: where it is kept: an ARN, or `sealed:…`. Never part of a secret.
  func put(_ secret: UserSecret, for owner: SecretOwner) async throws(VaultError) -> String

  /// The secret; nil when there is none, or it is deleted.
  func get(_ owner: SecretOwner) async throws(VaultError) -> UserSecret?

  /// Deletes the secret: gone for readers at once, for good after the recovery window. Succeeds when there is none.
  func delete(_ owner: SecretOwner) async throws(VaultError)

  /// The OAuth client that the operator keeps in the vault (`emailmcp/oauth/config`); nil when the vault has none.
  func oauthClient() async throws(VaultError) -> OAuthClientSecret?
}

/// Whose secret.
package struct SecretOwner: Sendable, Hashable {
  package let tenant: String
  /// Compared byte by byte.
  package let user: String
  package let provider: String

  package init(tenant: String, user: String, provider: String = "gmail_api") {
    self.tenant = tenant
    self.user = user
    self.provider = provider
  }

  package static func == (left: SecretOwner, right: SecretOwner) -> Bool {
    left.tenant.utf8.elementsEqual(right.tenant.utf8) && left.user.utf8.elementsEqual(right.user.utf8)
      && left.provider.utf8.elementsEqual(right.provider.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    for byte in tenant.utf8 { hasher.combine(byte) }
    for byte in user.utf8 { hasher.combine(byte) }
  }
}

/// Why the vault could not do it. No message holds a secret.
package struct VaultError: Error, Sendable, CustomStringConvertible {
  package struct Code: RawRepresentable, Hashable, Sendable {
    package let rawValue: String
    package init(rawValue: String) { self.rawValue = rawValue }

    /// The store is out of reach, or asks to come later.
    package static let unavailable = Code(rawValue: "unavailable")
    /// The store refuses us: credentials, rights.
    package static let denied = Code(rawValue: "denied")
    /// Sealed under a key that this process does not have.
    package static let unknownKey = Code(rawValue: "unknown_key")
    /// What is stored is not what was sealed, or is no secret of this shape.
    package static let corrupt = Code(rawValue: "corrupt")
    package static let configuration = Code(rawValue: "configuration")
    package static let cancelled = Code(rawValue: "cancelled")
  }

  package let code: Code
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { "\(code.rawValue): \(message)" }
}
