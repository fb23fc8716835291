public import WireCodec

extension Mailer {
  /// Asks what a user may still send.
  public struct GetCapacityRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetCapacityRequest"

    public init() {}

    public func encode(into w: inout WireWriter) {}

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      try r.skip()
    }
  }

  /// What a user may still send. The figures are those of the Google account: users who connected the same one share it.
  public struct GetCapacityResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.GetCapacityResponse"

    /// Where the connection stands. Nothing is sent unless it is ACTIVE; mail that was accepted before waits.
    public var account = AccountState.unspecified

    /// The next 60 seconds.
    public var minute: MinuteCapacity?

    /// The rolling 24 hours.
    public var day: DayCapacity?

    /// The earliest time at which a mail may leave. Absent: none is known.
    public var nextSendAt: ProtobufTimestamp?

    /// Why that is far away: "rate_limited" or "daily_limit". Empty: it is not.
    public var pausedReason = ""

    /// The user's accepted and unsent mail.
    public var queue: QueueForecast?

    /// The moment of all these figures.
    public var asOf: ProtobufTimestamp?

    /// What all users of this installation share.
    public var project: ProjectCapacity?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.enum(1, account)
      w.message(2, minute)
      w.message(3, day)
      w.message(4, nextSendAt)
      w.string(5, pausedReason)
      w.message(6, queue)
      w.message(7, asOf)
      w.message(8, project)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.enum(&account)
      case 2: try r.message(&minute)
      case 3: try r.message(&day)
      case 4: try r.message(&nextSendAt)
      case 5: try r.string(&pausedReason)
      case 6: try r.message(&queue)
      case 7: try r.message(&asOf)
      case 8: try r.message(&project)
      default: try r.skip()
      }
    }
  }

  /// Mails a minute of the whole Google project.
  public struct ProjectCapacity: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.ProjectCapacity"

    /// What the operator's settings allow.
    public var limit: Int32 = 0

    /// What Gmail's answers have left of it.
    public var current: Int32 = 0

    /// Gmail has stopped the project until then. Absent: it has not.
    public var pausedUntil: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int32(1, limit)
      w.int32(2, current)
      w.message(3, pausedUntil)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int32(&limit)
      case 2: try r.int32(&current)
      case 3: try r.message(&pausedUntil)
      default: try r.skip()
      }
    }
  }

  /// Where a user's connection stands.
  public struct AccountState: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Never.
    public static let unspecified = Self(rawValue: 0)
    /// It can send.
    public static let active = Self(rawValue: 1)
    /// The user must connect again; accepted mail waits.
    public static let reauthRequired = Self(rawValue: 2)
    /// The user has taken it back.
    public static let disconnected = Self(rawValue: 3)
    /// There never was one.
    public static let neverConnected = Self(rawValue: 4)

    public static let words: [StaticString] = ["active", "reauth_required", "disconnected", "never_connected"]
  }

  /// Mails in 60 seconds.
  public struct MinuteCapacity: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.MinuteCapacity"

    /// What Gmail allows.
    public var limit: Int32 = 0

    /// What may still leave in the 60 seconds from now.
    public var left: Int32 = 0

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int32(1, limit)
      w.int32(2, left)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int32(&limit)
      case 2: try r.int32(&left)
      default: try r.skip()
      }
    }
  }

  /// Recipients in 24 hours.
  public struct DayCapacity: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.DayCapacity"

    /// The limit: the operator's, or a lower one that Gmail has taught, until the time that Gmail named.
    public var limit: Int32 = 0

    /// What has been used of it.
    public var used: Int32 = 0

    /// What is left of it.
    public var left: Int32 = 0

    /// The limit is Gmail's, not the operator's.
    public var isLearnt = false

    /// When some of it is free again. Present with nothing left.
    public var freesAt: ProtobufTimestamp?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int32(1, limit)
      w.int32(2, used)
      w.int32(3, left)
      w.bool(4, isLearnt)
      w.message(5, freesAt)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int32(&limit)
      case 2: try r.int32(&used)
      case 3: try r.int32(&left)
      case 4: try r.bool(&isLearnt)
      case 5: try r.message(&freesAt)
      default: try r.skip()
      }
    }
  }

  /// Accepted and unsent mail, counted to 100,000.
  public struct QueueForecast: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.QueueForecast"

    /// Due, and waiting for its turn.
    public var waiting: Int64 = 0

    /// For a later `send_at`.
    public var scheduled: Int64 = 0

    /// Waiting for the account to be connected again.
    public var parked: Int64 = 0

    /// No limit lets what waits be sent before. Absent: nothing waits, or it cannot be known.
    public var earliestFinish: ProtobufTimestamp?

    /// When it is likely to be sent, other mail of the Google account before it included. Absent: likewise.
    public var expectedFinish: ProtobufTimestamp?

    /// What the expectation rests on.
    public var basis = ForecastBasis.unspecified

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.int64(1, waiting)
      w.int64(2, scheduled)
      w.int64(3, parked)
      w.message(4, earliestFinish)
      w.message(5, expectedFinish)
      w.enum(6, basis)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.int64(&waiting)
      case 2: try r.int64(&scheduled)
      case 3: try r.int64(&parked)
      case 4: try r.message(&earliestFinish)
      case 5: try r.message(&expectedFinish)
      case 6: try r.enum(&basis)
      default: try r.skip()
      }
    }
  }

  /// What an expected end rests on.
  public struct ForecastBasis: WordEnum {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// There is none.
    public static let unspecified = Self(rawValue: 0)
    /// The limits alone: the queue is too young to have shown its own pace.
    public static let limits = Self(rawValue: 1)
    /// The pace of the last quarters of an hour, in all of which there was mail to send.
    public static let observed = Self(rawValue: 2)

    public static let words: [StaticString] = ["limits", "observed"]
  }
}
