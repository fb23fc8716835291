internal import EventLoop
package import Logging
package import RPCRuntime
internal import ServiceContracts
package import TLSSession

/// Lets a call in only with a valid context, attaches it for the handler, and gives the log its request id.
///
/// Which issuers and scopes a method takes is the method's own rule (`MethodAccess`). Health checks and reflection (`grpc.*`) need none: they tell nothing of a tenant.
package struct CallContextInterceptor: ServerInterceptor {
  private let verifier: ContextVerifier
  private let clock: ClockDoubt
  private let logger: Logger

  package init(keys: Keyring, clock: ClockDoubt = ClockDoubt(), logger: Logger) {
    verifier = ContextVerifier(keys: keys)
    self.clock = clock
    self.logger = logger
  }

  package func intercept(_ context: ServerContext, _ next: () async throws -> Void) async throws {
    let log = LogContext(
      requestID: context.metadata.text(.requestID).flatMap(Self.safeRequestID),
      traceparent: CallScope.current?.trace?.traceparent ?? context.metadata.text(.traceparent))
    try await LogContext.$current.binding(log) {
      if !context.method.service.hasPrefix("grpc.") { context.attach(try verified(context)) }
      try await next()
    }
  }

  private func verified(_ context: ServerContext) throws(RPCError) -> CallContext {
    do throws(ContextVerifier.Refusal) {
      guard context.metadata.entries.count(where: { $0.name == .callContext }) <= 1 else { throw .several }
      return try verifier.verify(context.metadata.binary(.callContext))
    } catch {
      if [.expired, .notYetValid].contains(error) { clock.raise() }
      logger.warning(
        "call context refused", metadata: ["method": "\(context.method.fullName)", "reason": "\(error)"])
      throw RPCError(.unauthenticated, reason: "invalid_context", "The call carries no valid context.")
    }
  }

  /// What may stand in a log line: 1–64 of `A-Za-z0-9._-`.
  package static func safeRequestID(_ text: String) -> String? {
    guard 1...64 ~= text.utf8.count else { return nil }
    let isSafe = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    return isSafe ? text : nil
  }
}
