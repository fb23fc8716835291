public import WireCodec

extension RPCError {
  /// An error with the reason as a word for programs, as `google.rpc.ErrorInfo`.
  public init(
    _ code: StatusCode, reason: String, domain: String, _ message: String, details: [any WireMessage] = [],
    cause: (any Error)? = nil
  ) {
    self.init(
      code, message,
      details: [ErrorDetail(ErrorInfo(reason: reason, domain: domain))] + details.map { ErrorDetail($0) },
      cause: cause)
  }

  /// The first detail of this type.
  public func detail<Message: WireMessage>(_ type: Message.Type = Message.self) -> Message? {
    for detail in details {
      if let message = detail.unpack(type) { return message }
    }
    return nil
  }

  public var errorInfo: ErrorInfo? { detail(ErrorInfo.self) }
  public var badRequest: BadRequest? { detail(BadRequest.self) }
  public var retryInfo: RetryInfo? { detail(RetryInfo.self) }
  public var quotaFailure: QuotaFailure? { detail(QuotaFailure.self) }
}
