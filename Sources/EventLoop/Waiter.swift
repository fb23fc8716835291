/// A suspended task of a loop. Resumed once; later resumes are ignored, so that an answer, a time-out and a
/// cancellation may race. Lives on its loop.
public final class Waiter<Value> {
  var continuation: UnsafeContinuation<Value, any Error>?

  /// Whether the task still waits: false once it was resumed or cancelled.
  public var isPending: Bool { continuation != nil }

  public func resume(returning value: sending Value) { resume(with: .success(value)) }

  public func resume(throwing error: any Error) { resume(with: .failure(error)) }

  public func resume(with result: sending Result<Value, any Error>) {
    guard let continuation else { return }
    self.continuation = nil
    continuation.resume(with: result)
  }
}
