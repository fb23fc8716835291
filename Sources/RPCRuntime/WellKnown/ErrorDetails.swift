public import WireCodec

/// `google.rpc.ErrorInfo`: the reason as a word that programs may rely on.
public struct ErrorInfo: WireMessage, Hashable {
  public static let wireName = "google.rpc.ErrorInfo"

  /// A stable word, unique in its domain.
  public var reason = ""
  /// Who coined the word.
  public var domain = ""
  public var metadata = WireMap()

  public init() {}

  public init(reason: String, domain: String, metadata: WireMap = [:]) {
    self.reason = reason
    self.domain = domain
    self.metadata = metadata
  }

  public func encode(into w: inout WireWriter) {
    w.string(1, reason)
    w.string(2, domain)
    w.map(3, metadata)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.string(&reason)
    case 2: try r.string(&domain)
    case 3: try r.map(&metadata)
    default: try r.skip()
    }
  }
}

/// `google.rpc.BadRequest`: which fields of the request are wrong.
public struct BadRequest: WireMessage, Hashable {
  public static let wireName = "google.rpc.BadRequest"

  /// One field and what is wrong with it.
  public struct FieldViolation: WireMessage, Hashable {
    public static let wireName = "google.rpc.BadRequest.FieldViolation"

    /// The field's path, `attachments[2].filename`.
    public var field = ""
    /// One sentence.
    public var description = ""

    public init() {}

    public init(field: String, description: String) {
      self.field = field
      self.description = description
    }

    public func encode(into w: inout WireWriter) {
      w.string(1, field)
      w.string(2, description)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&field)
      case 2: try r.string(&description)
      default: try r.skip()
      }
    }
  }

  public var fieldViolations: [FieldViolation] = []

  public init() {}

  public init(_ violations: [FieldViolation]) { fieldViolations = violations }

  public func encode(into w: inout WireWriter) { w.messages(1, fieldViolations) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.messages(&fieldViolations)
    default: try r.skip()
    }
  }
}

/// `google.rpc.RetryInfo`: when to try again.
public struct RetryInfo: WireMessage, Hashable {
  public static let wireName = "google.rpc.RetryInfo"

  /// The least time to wait.
  public var retryDelay: Duration?

  public init() {}

  public init(retryDelay: Duration) { self.retryDelay = retryDelay }

  public func encode(into w: inout WireWriter) { w.message(1, retryDelay.map { ProtobufDuration($0) }) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    guard number == 1 else { return try r.skip() }
    if let duration = try r.message(over: retryDelay.map { ProtobufDuration($0) }) { retryDelay = duration.duration }
  }
}

/// `google.rpc.QuotaFailure`: which quotas are used up.
public struct QuotaFailure: WireMessage, Hashable {
  public static let wireName = "google.rpc.QuotaFailure"

  /// One quota.
  public struct Violation: WireMessage, Hashable {
    public static let wireName = "google.rpc.QuotaFailure.Violation"

    /// Whose quota: `tenant:…`, `user:…`.
    public var subject = ""
    /// Which and how much, in words.
    public var description = ""
    /// The quota as a word, for programs.
    public var quotaID = ""
    /// How much it allows.
    public var quotaValue: Int64 = 0

    public init() {}

    public init(subject: String, description: String, quotaID: String = "", quotaValue: Int64 = 0) {
      self.subject = subject
      self.description = description
      self.quotaID = quotaID
      self.quotaValue = quotaValue
    }

    public func encode(into w: inout WireWriter) {
      w.string(1, subject)
      w.string(2, description)
      w.string(5, quotaID)
      w.int64(7, quotaValue)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&subject)
      case 2: try r.string(&description)
      case 5: try r.string(&quotaID)
      case 7: try r.int64(&quotaValue)
      default: try r.skip()
      }
    }
  }

  public var violations: [Violation] = []

  public init() {}

  public init(_ violations: [Violation]) { self.violations = violations }

  public func encode(into w: inout WireWriter) { w.messages(1, violations) }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.messages(&violations)
    default: try r.skip()
    }
  }
}
