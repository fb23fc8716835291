import EventLoop
public import Logging
import TLSSession

/// Writes a line for each call that failed, was slow or was refused, and none for the others: an interceptor for a server.
///
/// ```swift
/// server.use(CallLog(logger))
/// ```
///
/// "a call failed" is a warning where the server is at fault and a debugging line where its caller is, or has gone; "a call
/// was slow" is for information, and "a call was refused" for debugging: it never came to its handler. Metadata:
/// `grpc_method`, `grpc_status`, `duration_ms`, `peer`, `request_id`.
public struct CallLog: ServerInterceptor {
  private let logger: Logger
  private let slow: Duration
  private let namesRequest: Bool

  /// - Parameters:
  ///   - slow: unary calls that take longer are told of; streams may last.
  ///   - namesRequest: whether `request_id` is the caller's `x-request-id`; false where the log handler adds its own.
  public init(_ logger: Logger, slowerThan slow: Duration = .seconds(5), namesRequest: Bool = true) {
    self.logger = logger
    self.slow = slow
    self.namesRequest = namesRequest
  }

  public func intercept(_ context: ServerContext, _ next: () async throws -> Void) async throws {
    let began = Instant.current()
    do {
      try await next()
      let took = Instant.current() - began
      guard context.method.kind == .unary, took > slow else { return }
      logger.info("a call was slow", metadata: metadata(context, .ok, took))
    } catch {
      // A handler that was cancelled throws that; why it was says more.
      let code = (context.call.cancellation ?? RPCError(error)).code
      logger.log(
        level: code.isServersFault && !context.call.isMalformed ? .warning : .debug, "a call failed",
        metadata: metadata(context, code, Instant.current() - began))
      throw error
    }
  }

  public func refused(_ context: ServerContext, _ error: RPCError) {
    let took = Instant.current() - context.call.about.startedAt
    logger.debug("a call was refused", metadata: metadata(context, error.code, took))
  }

  private func metadata(_ context: ServerContext, _ code: StatusCode, _ took: Duration) -> Logger.Metadata {
    var metadata: Logger.Metadata = [
      "grpc_method": "\(context.method)", "grpc_status": "\(code)",
      "duration_ms": "\(took.wholeNanoseconds / 1_000_000)",
    ]
    if let peer = context.peer?.spiffeID ?? context.peerAddress.map({ "\($0)" }) { metadata["peer"] = "\(peer)" }
    if namesRequest, let id = context.metadata.text("x-request-id"), id.utf8.count <= 64 {
      metadata["request_id"] = "\(id)"
    }
    return metadata
  }
}
