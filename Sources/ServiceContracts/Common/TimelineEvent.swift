public import WireCodec

/// One step in a mail's life.
public struct TimelineEvent: WireMessage, Hashable {
  public static let wireName = "emailmcp.common.v1.TimelineEvent"

  /// When.
  public var at: ProtobufTimestamp?

  /// What.
  public var event = Kind.unspecified

  /// A short explanation for a person; absent where the kind says all.
  public var detail: String?

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.message(1, at)
    w.enum(2, event)
    w.string(3, detail)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.message(&at)
    case 2: try r.enum(&event)
    case 3: try r.string(&detail)
    default: try r.skip()
    }
  }

  /// Steps in a mail's life; in REST the lower-case last word.
  public struct Kind: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Not said.
    public static let unspecified = Self(rawValue: 0)
    /// Durable in the log and the queue.
    public static let accepted = Self(rawValue: 1)
    /// Put aside until its `send_at`.
    public static let scheduled = Self(rawValue: 2)
    /// Taken in hand by a worker.
    public static let leased = Self(rawValue: 3)
    /// About to be handed to the provider; recorded before the first byte leaves.
    public static let attempt = Self(rawValue: 4)
    /// Refused by the provider for now; it will be tried again.
    public static let refused = Self(rawValue: 5)
    /// Its final status was recorded.
    public static let outcome = Self(rawValue: 6)
    /// Taken back.
    public static let cancelled = Self(rawValue: 7)

    public static let words: [StaticString] = [
      "accepted", "scheduled", "leased", "attempt", "refused", "outcome", "cancelled",
    ]
  }
}
