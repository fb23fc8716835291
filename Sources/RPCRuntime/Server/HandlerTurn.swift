import EventLoop

/// How many handlers begin in one tick before descriptors and timers get their turn, as a value: one at least.
struct HandlerTurn {
  /// Who comes after it waits for the next tick. A large answer may take longer than that alone; two must not go together.
  static let budget: Duration = .microseconds(500)
  /// As many as the loop runs jobs.
  static let most = 1024

  private var count = 0
  private var began: Instant?

  /// Whether one more may begin.
  ///
  /// - Parameter isLast: none waits behind it. The first that is also the last needs no look at the clock, which costs as
  ///   much as a small handler does.
  mutating func goesOn(isLast: Bool, now: @autoclosure () -> Instant = .current()) -> Bool {
    guard count > 0 else {
      count = 1
      if !isLast { began = now() }
      return true
    }
    guard count < Self.most else { return false }
    let now = now()
    guard now - (began ?? now) < Self.budget else { return false }
    if began == nil { began = now }
    count += 1
    return true
  }
}
