import EventLoop
import Synchronization

/// When one of the process's loops last had a mail in hand that somebody waits for.
final class AwaitedMail: Sendable {
  private let nanoseconds = Atomic<Int64>(.min)

  static func clock(_ now: Instant) -> Duration { .nanoseconds(now.nanoseconds) }

  func seen(at now: Instant) { nanoseconds.store(now.nanoseconds, ordering: .relaxed) }

  /// Nil when there was none.
  var last: Duration? {
    let last = nanoseconds.load(ordering: .relaxed)
    return last == .min ? nil : .nanoseconds(last)
  }
}
