public import WireCodec

extension OAuth {
  /// Asks for changes of connections.
  public struct WatchConnectionsRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.WatchConnectionsRequest"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// One event.
  public struct WatchConnectionsResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.WatchConnectionsResponse"

    /// Exactly one of them.
    public enum Event: Sendable, Hashable {
      /// The watch has begun: all later changes are told.
      case started(WatchStarted)
      /// A connection changed.
      case change(ConnectionChange)
    }

    /// Exactly one of them.
    public var event: Event?

    public init() {}

    public func encode(into w: inout WireWriter) {
      switch event {
      case .started(let value): w.message(1, value)
      case .change(let value): w.message(2, value)
      case nil: break
      }
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1:
        var old: WatchStarted?
        if case .started(let value) = event { old = value }
        if let new = try r.message(over: old) { event = .started(new) }
      case 2:
        var old: ConnectionChange?
        if case .change(let value) = event { old = value }
        if let new = try r.message(over: old) { event = .change(new) }
      default: try r.skip()
      }
    }

    /// The watch has begun.
    public struct WatchStarted: WireMessage, Hashable {
      public static let wireName = "emailmcp.oauth.v1.WatchConnectionsResponse.WatchStarted"

      public init() {}

      public func encode(into w: inout WireWriter) {}

      public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
        try r.skip()
      }
    }
  }

  /// A change of one user's connection.
  public struct ConnectionChange: WireMessage, Hashable {
    public static let wireName = "emailmcp.oauth.v1.ConnectionChange"

    /// The tenant.
    public var tenantID = ""

    /// The user.
    public var userID = ""

    /// Where the connection stands now.
    public var status = ConnectionStatus.unspecified

    /// The account's grant version now.
    public var grantVersion: Int64 = 0

    /// When it changed.
    public var at: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, tenantID)
      w.string(2, userID)
      w.enum(3, status)
      w.int64(4, grantVersion)
      w.message(5, at)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&tenantID)
      case 2: try r.string(&userID)
      case 3: try r.enum(&status)
      case 4: try r.int64(&grantVersion)
      case 5: try r.message(&at)
      default: try r.skip()
      }
    }
  }
}
