/// Carries an object of a loop through other threads back to its loop, weakly.
package struct LoopReference<Object: AnyObject>: @unchecked Sendable {
  // @unchecked: the object is looked at on its own loop alone.
  private weak let object: Object?
  private let loop: EventLoop

  /// - Parameter reactor: the loop that `object` belongs to and the caller is on.
  package init(_ object: Object, on reactor: Reactor) {
    self.object = object
    loop = reactor.loop
  }

  /// Runs `body` on the loop at its next turn, from any thread, if the object is still there.
  package func execute(_ body: @escaping @Sendable (Object) -> Void) {
    loop.execute { _ in if let object { body(object) } }
  }
}
