public import WireCodec

extension Mailer {
  /// Asks for changes of status.
  public struct WatchMessagesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.WatchMessagesRequest"

    /// Only these mails, at most 1,000. Empty: all.
    public var ids: [String] = []

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.strings(1, ids)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.strings(&ids)
      default: try r.skip()
      }
    }
  }

  /// One event.
  public struct WatchMessagesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.WatchMessagesResponse"

    /// Exactly one of them.
    public enum Event: Sendable, Hashable {
      /// The watch has begun: all later changes are told.
      case started(WatchStarted)
      /// A mail as it stands after the change, without its timeline.
      case message(MessageRecord)
    }

    /// Whose mail it is: a watch without a user tells the whole tenant's.
    public var userID = ""

    /// Exactly one of them.
    public var event: Event?

    public init() {}

    public func encode(into w: inout WireWriter) {
      switch event {
      case .started(let value): w.message(1, value)
      case .message(let value): w.message(2, value)
      case nil: break
      }
      w.string(3, userID)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1:
        var old: WatchStarted?
        if case .started(let value) = event { old = value }
        if let new = try r.message(over: old) { event = .started(new) }
      case 2:
        var old: MessageRecord?
        if case .message(let value) = event { old = value }
        if let new = try r.message(over: old) { event = .message(new) }
      case 3: try r.string(&userID)
      default: try r.skip()
      }
    }

    /// The watch has begun.
    public struct WatchStarted: WireMessage, Hashable {
      public static let wireName = "emailmcp.mailer.v1.WatchMessagesResponse.WatchStarted"

      public init() {}

      public func encode(into w: inout WireWriter) {}

      public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
        try r.skip()
      }
    }
  }
}
