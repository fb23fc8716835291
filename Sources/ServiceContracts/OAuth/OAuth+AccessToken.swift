public import RPCRuntime
public import WireCodec

extension OAuth {
  /// Asks for an access token.
  public struct GetAccessTokenRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.GetAccessTokenRequest"

    /// How long the token must live still. Absent: 60 seconds.
    public var minLifetime: ProtobufDuration?

    /// What Google said about an earlier token, when it refused that. Absent: nothing to report.
    public var refused: TokenRefusal?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.message(1, minLifetime)
      w.message(2, refused)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.message(&minLifetime)
      case 2: try r.message(&refused)
      default: try r.skip()
      }
    }
  }

  /// A token that the provider refused.
  public struct TokenRefusal: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.TokenRefusal"

    /// The token's `token_version`. When a newer one exists already, that one is answered and nothing is refreshed.
    public var tokenVersion: Int64 = 0

    /// How it was refused.
    public var reason = Reason.unspecified

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int64(1, tokenVersion)
      w.enum(2, reason)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int64(&tokenVersion)
      case 2: try r.enum(&reason)
      default: try r.skip()
      }
    }

    /// Ways in which a token is refused.
    public struct Reason: WordEnum {
      public var rawValue: Int32

      public init(rawValue: Int32) { self.rawValue = rawValue }

      /// Not said: treated as `invalid`.
      public static let unspecified = Self(rawValue: 0)
      /// 401: expired or withdrawn. It is refreshed, once.
      public static let invalid = Self(rawValue: 1)
      /// 403 insufficientPermissions: the grant lacks the scope. The account becomes `reauthRequired`.
      public static let insufficientScope = Self(rawValue: 2)

      public static let words: [StaticString] = ["invalid", "insufficient_scope"]
    }
  }

  /// An access token and what the mailer needs to use it.
  public struct GetAccessTokenResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.GetAccessTokenResponse"

    /// The bearer token. Never logged, never stored by the caller except in memory.
    public var accessToken = ""

    /// When Google stops to take it.
    public var expiresAt: ProtobufTimestamp?

    /// Grows with every refresh of this account: names the token in a TokenRefusal.
    public var tokenVersion: Int64 = 0

    /// Grows with every consent of this account, and when it is disconnected: a token of an older grant is dead.
    public var grantVersion: Int64 = 0

    /// The connected address: what a mail's From must be.
    public var emailAddress = ""

    /// Google's stable id of the account (`sub`). Several users may share one; one request at a time is in flight for
    /// it.
    public var googleSub = ""

    /// The granted scopes.
    public var scopes: [String] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, accessToken)
      w.message(2, expiresAt)
      w.int64(3, tokenVersion)
      w.int64(4, grantVersion)
      w.string(5, emailAddress)
      w.string(6, googleSub)
      w.strings(7, scopes)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&accessToken)
      case 2: try r.message(&expiresAt)
      case 3: try r.int64(&tokenVersion)
      case 4: try r.int64(&grantVersion)
      case 5: try r.string(&emailAddress)
      case 6: try r.string(&googleSub)
      case 7: try r.strings(&scopes)
      default: try r.skip()
      }
    }
  }
}

extension OAuth.GetAccessTokenResponse: CustomStringConvertible {
  /// All but the token.
  public var description: String {
    "access token <redacted>, version \(tokenVersion) of grant \(grantVersion), expires at \(expiresAt?.seconds ?? 0)"
  }
}
