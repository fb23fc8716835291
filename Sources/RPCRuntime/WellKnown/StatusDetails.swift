public import WireCodec

/// `google.rpc.Status`: what `grpc-status-details-bin` carries, and an error as part of an answer.
public struct StatusDetails: WireMessage, Hashable {
  public static let wireName = "google.rpc.Status"

  /// The status code's number.
  public var code: Int32 = 0
  /// One sentence.
  public var message = ""
  public var details: [ErrorDetail] = []

  public init() {}

  public func encode(into w: inout WireWriter) {
    w.int32(1, code)
    w.string(2, message)
    w.messages(3, details)
  }

  public mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) {
    switch number {
    case 1: try r.int32(&code)
    case 2: try r.string(&message)
    case 3: try r.messages(&details)
    default: try r.skip()
    }
  }
}

extension StatusDetails {
  /// An error as part of an answer. Its trailers and its cause stay behind.
  public init(_ error: RPCError) {
    code = error.code.rawValue
    message = error.message
    details = error.details
  }
}

extension RPCError {
  /// The error that is part of an answer.
  public init(_ status: StatusDetails) {
    self.init(StatusCode(rawValue: status.code), status.message, details: status.details)
  }
}
