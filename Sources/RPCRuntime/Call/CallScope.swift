public import EventLoop

/// What a call hands down to the calls that its handler makes, without the handler's help: what is left of its time, and
/// metadata such as `traceparent`. A task-local value; the server sets it, every client call on the way reads it.
public struct CallScope: Sendable {
  /// No call made in this scope lasts longer.
  public var deadline: Instant?
  /// Added to each call made in this scope, unless the call sets the name itself.
  public var metadata: Metadata

  public init(deadline: Instant? = nil, metadata: Metadata = Metadata()) {
    self.deadline = deadline
    self.metadata = metadata
  }

  /// The scope of the task that asks; nil outside of calls.
  @TaskLocal public static var current: CallScope?
}
