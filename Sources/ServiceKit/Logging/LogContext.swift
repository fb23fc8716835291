/// What every log line of one piece of work carries, kept in the task.
package struct LogContext: Sendable {
  /// The caller's `X-Request-Id`, or one that the edge made.
  package var requestID: String?
  /// The 32 hexadecimal digits of `traceparent`.
  package var traceID: String?

  package init(requestID: String? = nil, traceparent: String? = nil) {
    self.requestID = requestID
    traceID = traceparent.flatMap(Self.traceID(of:))
  }

  @TaskLocal package static var current: LogContext?

  /// The trace id of a W3C `traceparent`, or nil when the header is malformed.
  package static func traceID(of traceparent: String) -> String? {
    let parts = traceparent.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].utf8.count == 2, parts[1].utf8.count == 32,
      parts[1].utf8.allSatisfy({ 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }), parts[1].contains(where: { $0 != "0" })
    else { return nil }
    return String(parts[1])
  }
}
