public import RPCRuntime
public import WireCodec

extension Mailer {
  /// One mail of a batch.
  public struct SendMessagesRequest: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.SendMessagesRequest"

    /// The caller's name for it on this call, given back with its answer. At most 255 bytes.
    public var reference = ""

    /// The mail. Its `wait` says until when its answer may take.
    public var message: SendMessageRequest?

    public init() {}

    public var encodedSizeHint: Int { (message?.encodedSizeHint ?? 0) + 256 }

    public func encode(into w: inout WireWriter) {
      w.string(1, reference)
      w.message(2, message)
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&reference)
      case 2: try r.message(&message)
      default: try r.skip()
      }
    }
  }

  /// One answer of a batch.
  public struct SendMessagesResponse: WireMessage, Hashable {
    public static let wireName = "emailmcp.mailer.v1.SendMessagesResponse"

    /// Exactly one of them.
    public enum Result: Sendable, Hashable {
      /// The mail is kept: what became of it.
      case response(SendMessageResponse)
      /// The mail is not kept: what SendMessage would have failed with.
      case error(StatusDetails)
    }

    /// Which request it answers.
    public var reference = ""

    /// Exactly one of them.
    public var result: Result?

    public init() {}

    public func encode(into w: inout WireWriter) {
      w.string(1, reference)
      switch result {
      case .response(let value): w.message(2, value)
      case .error(let value): w.message(3, value)
      case nil: break
      }
    }

    public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
      switch number {
      case 1: try r.string(&reference)
      case 2:
        var old: SendMessageResponse?
        if case .response(let value) = result { old = value }
        if let new = try r.message(over: old) { result = .response(new) }
      case 3:
        var old: StatusDetails?
        if case .error(let value) = result { old = value }
        if let new = try r.message(over: old) { result = .error(new) }
      default: try r.skip()
      }
    }
  }
}
