/// Carries an object through other threads back to its loop.
///
/// Unchecked: the object is looked at on its own loop alone, where `execute` runs.
struct LoopReference<Object: AnyObject>: @unchecked Sendable {
  weak var object: Object?
  init(_ object: Object) { self.object = object }
}
