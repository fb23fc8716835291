extension TaskLocal {
  /// Binds the task-local to `value` while `body` runs, as `withValue` does, but `body` stays isolated to the caller's loop.
  ///
  /// The standard library takes a closure that is isolated to nothing, unless it captures its actor. A wait in it ends in
  /// a job of the loop's queue for each return on the way out, five of them, instead of one.
  package func binding<R>(
    _ value: Value, isolation: isolated (any Actor)? = #isolation,
    _ body: nonisolated(nonsending) () async throws -> R
  ) async rethrows -> R {
    try await withValue(value) {
      _ = isolation
      return try await body()
    }
  }
}
