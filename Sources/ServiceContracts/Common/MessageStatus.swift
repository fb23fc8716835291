/// Where a mail stands. `success`, `failed`, `unknown` and `cancelled` are final.
public struct MessageStatus: WordEnum {
  public var rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// Not said. In a filter: any status.
  public static let unspecified = Self(rawValue: 0)
  /// Accepted and durable; its turn has not come.
  public static let queued = Self(rawValue: 1)
  /// Accepted; waits for its `send_at`.
  public static let scheduled = Self(rawValue: 2)
  /// A worker has it in hand; it can no longer be cancelled.
  public static let sending = Self(rawValue: 3)
  /// The provider took it.
  public static let success = Self(rawValue: 4)
  /// The provider refused it, or it could not be sent; it did not leave.
  public static let failed = Self(rawValue: 5)
  /// It may or may not have left: the answer was lost. Never sent again by itself, unless the sender asked for that.
  public static let unknown = Self(rawValue: 6)
  /// Taken back before it left.
  public static let cancelled = Self(rawValue: 7)

  public static let words: [StaticString] = [
    "queued", "scheduled", "sending", "success", "failed", "unknown", "cancelled",
  ]
}
