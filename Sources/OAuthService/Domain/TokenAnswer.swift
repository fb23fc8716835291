import StrictJSON
import TLSSession

/// What Google's token endpoint granted.
struct TokenGrant: Sendable {
  let accessToken: SecretBytes
  let lifetime: Duration
  /// Only at consent; a refresh usually keeps the old one.
  let refreshToken: SecretBytes?
  /// Set when the user's consent is limited in time.
  let refreshLifetime: Duration?
  /// Nil when Google did not say: then those asked for (RFC 6749, 5.1).
  let scopes: [String]?
  let idToken: String?
}

/// What an answer of the token endpoint means.
enum TokenAnswer: Sendable {
  case granted(TokenGrant)
  /// The grant (or the code) is dead: `reason` is a stable word for the profile.
  case dead(reason: String)
  /// The operator's client is wrong; no user is to blame.
  case misconfigured(error: String)
  /// Ask again later.
  case unavailable

  /// Google's sizes: access token 2,048 B, refresh token 512 B, plus an id_token.
  static let bodyLimit = 64 << 10
  /// No access token is believed to live longer.
  static let longestLifetime: Int64 = 86_400

  init(status: Int, body: [UInt8]) {
    let json = try? JSONValue(parsing: body, limits: JSONLimits(maximumBytes: Self.bodyLimit, maximumDepth: 8))
    if status == 200 {
      self = json.flatMap(Self.grant).map(TokenAnswer.granted) ?? .unavailable
      return
    }
    guard (400..<500).contains(status), status != 429, let error = json?["error"]?.stringValue else {
      self = .unavailable
      return
    }
    switch error {
    case "invalid_grant":
      // Session control policies ask for a fresh login; the word makes the profile's hint precise.
      self = .dead(reason: json?["error_subtype"]?.stringValue == "invalid_rapt" ? "invalid_rapt" : "invalid_grant")
    case "admin_policy_enforced", "org_internal", "access_denied": self = .dead(reason: error)
    case "invalid_client", "unauthorized_client", "redirect_uri_mismatch", "disabled_client", "invalid_request",
      "unsupported_grant_type", "invalid_scope":
      self = .misconfigured(error: error)
    default: self = .unavailable
    }
  }

  private static func grant(_ json: JSONValue) -> TokenGrant? {
    guard let token = json["access_token"]?.stringValue, (1...8192).contains(token.utf8.count),
      token.utf8.allSatisfy({ $0 > 32 && $0 < 127 }),
      json["token_type"]?.stringValue?.lowercased() == "bearer"
    else { return nil }
    let refresh = json["refresh_token"]?.stringValue
    if let refresh, !(1...4096).contains(refresh.utf8.count) { return nil }
    let lifetime = json["expires_in"]?.int64Value ?? 3600
    guard lifetime > 0 else { return nil }
    return TokenGrant(
      accessToken: SecretBytes(token), lifetime: .seconds(min(lifetime, longestLifetime)),
      refreshToken: refresh.map { SecretBytes($0) },
      refreshLifetime: json["refresh_token_expires_in"]?.int64Value.flatMap { $0 > 0 ? .seconds($0) : nil },
      scopes: json["scope"]?.stringValue.map { $0.split(separator: " ").map(String.init) },
      idToken: json["id_token"]?.stringValue)
  }
}
