import EventLoop
import Synchronization

/// When one of the process's loops last had a mail in hand that somebody waits for.
final class AwaitedMail: Sendable {
  private let nanoseconds = Atomic<Int64>(.min)

  /// - Parameter now: by `Courier.clock`.
  func seen(at now: Duration) { nanoseconds.store(now.wholeNanoseconds, ordering: .relaxed) }

  /// By the same clock; nil when there was none.
  var last: Duration? {
    let last = nanoseconds.load(ordering: .relaxed)
    return last == .min ? nil : .nanoseconds(last)
  }
}
