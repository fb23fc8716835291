public import WireCodec

extension OAuth {
  /// Asks for Google's consent page.
  public struct StartAuthorizationRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.StartAuthorizationRequest"

    /// Where the browser ends after the consent; equal to one of the tenant's registered URLs.
    public var redirectURL = ""

    /// Address to prefill on Google's page. Absent: none.
    public var loginHint: String?

    /// The only address that may be connected, case-insensitive. Absent: any.
    public var expectedEmail: String?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, redirectURL)
      w.string(2, loginHint)
      w.string(3, expectedEmail)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&redirectURL)
      case 2: try r.string(&loginHint)
      case 3: try r.string(&expectedEmail)
      default: try r.skip()
      }
    }
  }

  /// Where to send the browser.
  public struct StartAuthorizationResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.StartAuthorizationResponse"

    /// Google's page, complete.
    public var authorizationURL = ""

    /// When the state in it stops to be valid.
    public var expiresAt: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, authorizationURL)
      w.message(2, expiresAt)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&authorizationURL)
      case 2: try r.message(&expiresAt)
      default: try r.skip()
      }
    }
  }

  /// The query of Google's redirect to our own redirect URI.
  public struct SealCallbackRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.SealCallbackRequest"

    /// The state, as it came.
    public var state = ""

    /// Google's authorization code; empty when Google sent an error.
    public var code = ""

    /// Google's `error`, for instance "access_denied"; empty when Google sent a code.
    public var error = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, state)
      w.string(2, code)
      w.string(3, error)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&state)
      case 2: try r.string(&code)
      case 3: try r.string(&error)
      default: try r.skip()
      }
    }
  }

  /// Where to send the browser next.
  public struct SealCallbackResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.SealCallbackResponse"

    /// The flow's redirect URL with `code` (a one-time handle of ours) and `state`, or `error` and `state`: the value
    /// of a Location header.
    public var location = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, location)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&location)
      default: try r.skip()
      }
    }
  }

  /// The end of a flow, told by the platform that knows who is logged in.
  public struct CompleteAuthorizationRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.CompleteAuthorizationRequest"

    /// The state, as the page got it.
    public var state = ""

    /// Google's code or our one-time handle, as the page got it; empty with an error.
    public var code = ""

    /// The `error` that the page got; empty with a code.
    public var error = ""

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, state)
      w.string(2, code)
      w.string(3, error)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&state)
      case 2: try r.string(&code)
      case 3: try r.string(&error)
      default: try r.skip()
      }
    }
  }

  /// A connected account.
  public struct CompleteAuthorizationResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.CompleteAuthorizationResponse"

    /// The user.
    public var userID = ""

    /// The connected address, as Google spells it.
    public var emailAddress = ""

    /// The flow's redirect URL, as given at its start.
    public var redirectURL = ""

    /// The scopes that the user granted.
    public var scopes: [String] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, userID)
      w.string(2, emailAddress)
      w.string(3, redirectURL)
      w.strings(4, scopes)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&userID)
      case 2: try r.string(&emailAddress)
      case 3: try r.string(&redirectURL)
      case 4: try r.strings(&scopes)
      default: try r.skip()
      }
    }
  }
}
