public import EventLoop

/// What a call hands down to the calls that its handler makes, without the handler's help: what is left of its time, and
/// metadata such as `traceparent`. A task-local value; the server sets it, every client call on the way reads it.
public struct CallScope: Sendable {
  /// No call made in this scope lasts longer.
  public var deadline: Instant?
  /// Added to each call made in this scope, unless the call sets the name itself.
  public var metadata: Metadata
  /// The span that the work in this scope is a part of.
  public var trace: TraceContext?

  public init(deadline: Instant? = nil, metadata: Metadata = Metadata(), trace: TraceContext? = nil) {
    self.deadline = deadline
    self.metadata = metadata
    self.trace = trace
  }

  /// The scope of the task that asks; nil outside of calls.
  @TaskLocal public static var current: CallScope?
}

extension CallScope {
  /// Runs `body` in a task of its own, which goes on when the call that started it is cancelled or past its deadline;
  /// the caller stops waiting for it then. The scope's metadata holds in it, its deadline does not. For work that must
  /// not stop half-way.
  ///
  /// - Throws: what `body` throws; `CancellationError` when the caller is cancelled.
  public static func outlivingCall<T: Sendable>(
    on reactor: Reactor, _ body: @escaping () async throws -> T
  ) async throws -> T {
    try await reactor.wait { (waiter: Waiter<T>) in
      reactor.spawn {
        var scope = current
        scope?.deadline = nil
        do {
          waiter.resume(returning: try await $current.binding(scope) { try await body() })
        } catch {
          waiter.resume(throwing: error)
        }
      }
    }
  }
}
