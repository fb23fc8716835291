import EventLoop

/// A call that interceptors have seen and that may start.
struct PreparedCall {
  let method: MethodDescriptor
  let options: CallOptions
  let deadline: Instant?
  /// Metadata of the call and of the scope that it is made in.
  let metadata: Metadata
  /// What the attempts' spans are parts of; nil where a trace begins with them, or nothing is traced.
  var trace: TraceContext?
}
