import PostgresClient
import SecretVault
import ServiceKit
import TLSSession
import URLSyntax

/// What this process reads of its environment.
struct OAuthSettings: Sendable {
  enum VaultKind: String, CaseIterable, Sendable {
    case sealed
    case aws
  }

  enum Vault: Sendable {
    case sealed
    case aws(AWSSettings)
  }

  let common: CommonSettings
  let rpc: RPCSettings
  let database: PostgresConfiguration?
  let vault: Vault
  /// Seal what stands in the database: the sealed vault, and with either vault the access tokens.
  let vaultKeys: Keyring
  let endpoints: GoogleEndpoints
  /// Empty until it is read from the vault, where the settings do not name the client.
  let client: GoogleClientSource
  /// Shared by all loops.
  let keys = SharedKeyCache()

  init(_ settings: Settings, _ common: CommonSettings) {
    self.common = common
    rpc = RPCSettings(settings, of: OAuthProcess.name)
    database = settings.database(of: OAuthProcess.name)
    let aws = settings.choice("EMAILMCP_VAULT", default: VaultKind.sealed) == .aws ? settings.aws() : nil
    vault = aws.map { .aws($0) } ?? .sealed
    vaultKeys = settings.keyring("EMAILMCP_VAULT_KEYS")
    endpoints = GoogleEndpoints(
      authorization: settings.httpURL(
        "EMAILMCP_GOOGLE_AUTHORIZATION_URL", default: "https://accounts.google.com/o/oauth2/v2/auth"),
      token: settings.httpURL("EMAILMCP_GOOGLE_TOKEN_URL", default: "https://oauth2.googleapis.com/token"),
      revocation: settings.httpURL("EMAILMCP_GOOGLE_REVOCATION_URL", default: "https://oauth2.googleapis.com/revoke"),
      keys: settings.httpURL("EMAILMCP_GOOGLE_JWKS_URL", default: "https://www.googleapis.com/oauth2/v3/certs"),
      issuer: settings.string("EMAILMCP_GOOGLE_ISSUER", default: "https://accounts.google.com"))
    client = GoogleClientSource(Self.client(settings, canComeFromVault: aws != nil))
  }

  /// All three settings, or, where the vault can keep them, none.
  private static func client(_ settings: Settings, canComeFromVault: Bool) -> GoogleClient? {
    let id = settings.optionalString("EMAILMCP_GOOGLE_CLIENT_ID")
    let secret = settings.optionalSecret("EMAILMCP_GOOGLE_CLIENT_SECRET")
    let redirect = settings.optionalHTTPURL("EMAILMCP_GOOGLE_REDIRECT_URI")
    if let id, let secret, let redirect { return GoogleClient(id: id, secret: secret, redirectURI: redirect) }
    if canComeFromVault, id == nil, secret == nil { return nil }
    for (name, isSet) in [
      ("EMAILMCP_GOOGLE_CLIENT_ID", id != nil), ("EMAILMCP_GOOGLE_CLIENT_SECRET", secret != nil),
      ("EMAILMCP_GOOGLE_REDIRECT_URI", redirect != nil),
    ] where !isSet {
      settings.fail(name, "is not set or not usable")
    }
    return nil
  }
}

extension Settings {
  /// The AWS SDKs' own settings; nil, with a problem noted, when they are not whole.
  fileprivate func aws() -> AWSSettings? {
    do throws(VaultError) {
      return try AWSSettings { name in
        KnownSettings.secrets.contains(name) ? optionalSecret(name)?.revealedText : optionalString(name)
      }
    } catch {
      fail("EMAILMCP_VAULT", "is aws, but: \(error.message)")
      return nil
    }
  }
}
