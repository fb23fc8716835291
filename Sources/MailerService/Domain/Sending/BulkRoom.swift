/// How many mails of the queue a worker has in hand, as a value.
///
/// Alone, as many as it may. Beside mail that somebody waits for, no more than keep it busy: what is in hand beyond that
/// stands before the awaited mail, in the loop, in Postgres and for the processor. By Little's law that is the rate times
/// the time that Gmail takes: a mail for each millisecond of it, at the thousand mails a second that a loop may reach.
struct BulkRoom: Equatable {
  static let most = 64
  static let least = 4
  /// For so long after an awaited mail the worker gives way.
  static let memory: Duration = .seconds(1)
  /// Gmail's own time is the shortest of this long or twice it: the others have our own queues in them.
  static let window: Duration = .seconds(10)

  private var windowBegan: Duration = .zero
  private var quickest: Duration?
  private var quickestBefore: Duration?

  /// Gmail has answered a request. `now` is of a clock that never goes back; likewise below.
  mutating func answered(in time: Duration, now: Duration) {
    if now - windowBegan >= Self.window {
      quickestBefore = now - windowBegan < Self.window * 2 ? quickest : nil
      quickest = nil
      windowBegan = now
    }
    quickest = min(quickest ?? time, time)
  }

  /// - Parameter lastAwaited: when the process last had a mail in hand that somebody waits for.
  func capacity(lastAwaited: Duration?, now: Duration) -> Int {
    guard let lastAwaited, now - lastAwaited < Self.memory,
      let time = [quickest, quickestBefore].compactMap(\.self).min()
    else { return Self.most }
    return Int(min(Double(Self.most), Double(Self.least) + time / .milliseconds(1)))
  }
}
