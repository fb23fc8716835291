/// A task of a loop that waits, or is about to. Resumed once; later resumes are ignored, so that an answer, a time-out
/// and a cancellation may race. Lives on its loop.
public final class Waiter<Value> {
  private enum State {
    /// Whoever resumes knows of it already; the task has not come to its suspension.
    case announced
    case suspended(UnsafeContinuation<Value, any Error>)
    /// Resumed before the suspension, which ends at once with this.
    case early(Result<Value, any Error>)
    case over
  }

  private var state = State.announced

  /// Whether the task still waits: false once it was resumed or cancelled.
  public var isPending: Bool {
    switch state {
    case .announced, .suspended: true
    case .early, .over: false
    }
  }

  public func resume(returning value: sending Value) { resume(with: .success(value)) }

  public func resume(throwing error: any Error) { resume(with: .failure(error)) }

  public func resume(with result: sending Result<Value, any Error>) {
    switch state {
    case .announced: state = .early(result)
    case .suspended(let continuation):
      state = .over
      continuation.resume(with: result)
    case .early, .over: break
    }
  }

  /// The task has come to its suspension.
  func suspend(_ continuation: UnsafeContinuation<Value, any Error>) {
    guard case .early(let early) = state else {
      state = .suspended(continuation)
      return
    }
    nonisolated(unsafe) let result = early  // was sent here by `resume`, and is kept no longer
    state = .over
    continuation.resume(with: result)
  }
}
