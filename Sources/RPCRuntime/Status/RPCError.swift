/// How a call failed: what a handler throws to answer with a status, and what a client's call throws.
///
/// `message` is shown to the other side: nothing internal, no secret. What else is known for the log goes into `cause`,
/// which never leaves the process.
public struct RPCError: Error, Sendable {
  public var code: StatusCode
  /// One sentence, safe to show to the peer.
  public var message: String
  /// Typed details (`ErrorInfo`, `BadRequest`, `RetryInfo`, …); they travel in `grpc-status-details-bin`.
  public var details: [ErrorDetail]
  /// Metadata that travels with the status.
  public var trailers: Metadata
  /// What happened underneath; for logs, never sent.
  public var cause: (any Error)?

  public init(
    _ code: StatusCode, _ message: String, details: [ErrorDetail] = [], trailers: Metadata = Metadata(),
    cause: (any Error)? = nil
  ) {
    self.code = code
    self.message = message
    self.details = details
    self.trailers = trailers
    self.cause = cause
  }

  /// Any error as a call's outcome: an `RPCError` as it is, a cancellation as CANCELLED, everything else as UNKNOWN
  /// without its text, which might not be fit to show.
  public init(_ error: any Error) {
    switch error {
    case let error as RPCError: self = error
    case is CancellationError: self.init(.cancelled, "the call was cancelled")
    default: self.init(.unknown, "the call failed", cause: error)
    }
  }
}

extension RPCError: CustomStringConvertible {
  public var description: String {
    var text = message.isEmpty ? "\(code)" : "\(code): \(message)"
    if let info = errorInfo { text += " [\(info.reason)]" }
    // Many a message ends with the words of its cause.
    if let cause, !message.contains("\(cause)") { text += " (\(cause))" }
    return text
  }
}
