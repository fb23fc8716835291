import RPCRuntime

/// What every log line of one piece of work carries, kept in the task.
package struct LogContext: Sendable {
  /// The caller's `X-Request-Id`, or one that the edge made.
  package var requestID: String?
  /// The 32 hexadecimal digits of `traceparent`.
  package var traceID: String?

  package init(requestID: String? = nil, traceparent: String? = nil) {
    self.requestID = requestID
    traceID = traceparent.flatMap { text in
      TraceContext(traceparent: text).map { _ in String(decoding: text.utf8.dropFirst(3).prefix(32), as: UTF8.self) }
    }
  }

  @TaskLocal package static var current: LogContext?
}
