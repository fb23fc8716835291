public import WireCodec

extension OAuth {
  /// Where a user's connection stands.
  public struct ConnectionStatus: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Not said.
    public static let unspecified = Self(rawValue: 0)
    /// The grant works, as far as known.
    public static let active = Self(rawValue: 1)
    /// Google no longer honours the grant; the user must consent again.
    public static let reauthRequired = Self(rawValue: 2)
    /// Disconnected on request.
    public static let disconnected = Self(rawValue: 3)
    /// This user never connected an account.
    public static let neverConnected = Self(rawValue: 4)

    public static let words: [StaticString] = ["active", "reauth_required", "disconnected", "never_connected"]
  }

  /// Asks for the context's user's profile.
  public struct GetProfileRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.GetProfileRequest"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// A user's connection.
  public struct GetProfileResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.GetProfileResponse"

    /// The user.
    public var userID = ""

    /// Mail can be sent now, as far as known: the status is `active`.
    public var gmailConnected = false

    /// The connected address. Present with `active` and `reauthRequired`.
    public var emailAddress: String?

    /// Who would carry the mail.
    public var provider = Provider.unspecified

    /// Where the connection stands.
    public var status = ConnectionStatus.unspecified

    /// Why the user must consent again, a stable snake_case word. Present with `reauthRequired`.
    public var reauthReason: String?

    /// The scopes that the user granted.
    public var scopes: [String] = []

    /// When the account was connected, the last time it was. Absent: not connected.
    public var connectedAt: ProtobufTimestamp?

    /// When a mail last left through it. Absent: never.
    public var lastUsedAt: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, userID)
      w.bool(2, gmailConnected)
      w.string(3, emailAddress)
      w.enum(4, provider)
      w.enum(5, status)
      w.string(6, reauthReason)
      w.strings(7, scopes)
      w.message(8, connectedAt)
      w.message(9, lastUsedAt)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&userID)
      case 2: try r.bool(&gmailConnected)
      case 3: try r.string(&emailAddress)
      case 4: try r.enum(&provider)
      case 5: try r.enum(&status)
      case 6: try r.string(&reauthReason)
      case 7: try r.strings(&scopes)
      case 8: try r.message(&connectedAt)
      case 9: try r.message(&lastUsedAt)
      default: try r.skip()
      }
    }
  }

  /// Asks to forget the context's user's connection.
  public struct DisconnectRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.DisconnectRequest"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// Done.
  public struct DisconnectResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.DisconnectResponse"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }
}
