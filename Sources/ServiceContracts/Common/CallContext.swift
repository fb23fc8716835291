public import WireCodec

/// Who a call is for. It travels in the metadata `emailmcp-context-bin`, inside a SignedCallContext. A handler takes
/// the tenant and the user from here and from nowhere else: no request message of any service names either.
public struct CallContext: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.CallContext"

  /// The process that vouches for this context: "edge" for a caller with a credential, "mailer" for the mailer's own
  /// work on its queue (accepted by OAuth.GetAccessToken and OAuth.WatchConnections alone).
  public var issuer = ""

  /// The tenant (platform). Empty in OAuth.SealCallback, where the state is the capability, and in the mailer's
  /// OAuth.WatchConnections.
  public var tenantID = ""

  /// The platform's own id of the user whom the call is about: the one in the path of the REST route, or the one to
  /// whom a user token is bound. 1–255 Unicode scalars, compared byte by byte. Empty: the call is about no single user.
  public var userID = ""

  /// The API key, or the key that minted the user token: the key's public id, for the log. Empty for the mailer's own
  /// work and where a route needs no credential.
  public var credentialID = ""

  /// What kind of credential the caller showed.
  public var credentialKind = CredentialKind.unspecified

  /// The credential's scopes: "connect", "send", "read", "reports", "reports:summary", "admin".
  public var scopes: [String] = []

  /// When the issuer signed.
  public var issuedAt: ProtobufTimestamp?

  /// From this instant on the context is refused. At most two minutes after issued_at.
  public var expiresAt: ProtobufTimestamp?

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.string(1, issuer)
    w.string(2, tenantID)
    w.string(3, userID)
    w.string(4, credentialID)
    w.enum(5, credentialKind)
    w.strings(6, scopes)
    w.message(7, issuedAt)
    w.message(8, expiresAt)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&issuer)
    case 2: try r.string(&tenantID)
    case 3: try r.string(&userID)
    case 4: try r.string(&credentialID)
    case 5: try r.enum(&credentialKind)
    case 6: try r.strings(&scopes)
    case 7: try r.message(&issuedAt)
    case 8: try r.message(&expiresAt)
    default: try r.skip()
    }
  }
}

/// Kinds of credentials.
public struct CredentialKind: WordEnum {
  public var rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// None: a route without credential, or a service's own work.
  public static let unspecified = Self(rawValue: 0)
  /// A tenant's API key.
  public static let apiKey = Self(rawValue: 1)
  /// A short-lived token bound to one user.
  public static let userToken = Self(rawValue: 2)

  public static let words: [StaticString] = ["api_key", "user_token"]
}
