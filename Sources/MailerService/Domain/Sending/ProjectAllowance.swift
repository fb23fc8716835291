/// What this process may send of the project's quota, which all mailers share in the database: it holds a few requests in
/// advance, so that mail need not wait for a question, and gets what it used given again.
///
/// Never more than the quota in any 60 s: what is given out follows an interval 5 % longer than the quota's, with a second's
/// worth at once after a rest; the rest of the 5 % is what up to 30 mailers may hold unused. Requests that were not in the
/// allowance (a repetition after a refused token) are owed, and paid from the next.
struct ProjectAllowance: Sendable, Equatable {
  struct Terms: Sendable, Equatable {
    /// Between two requests of the whole project.
    let interval: Duration
    /// Worth of requests that may be given out at once.
    let burst: Duration
    /// Requests that a process holds in advance.
    let stock: Int
    let perMinute: Int

    /// - Parameter unitsPerMinute: Google's quota of the project.
    init(unitsPerMinute: Int) {
      perMinute = max(1, unitsPerMinute / MailboxPace.unitsPerSend)
      interval = .nanoseconds(60 * 1_050_000_000 / Int64(perMinute))
      burst = max(interval, .seconds(1))
      stock = max(1, perMinute / 60 / 16)
    }
  }

  let terms: Terms
  /// Negative: owed.
  private(set) var held: Int
  /// Held since the start and not given by the database yet.
  private var borrowed: Int
  private(set) var pausedUntil: Duration?
  /// What Gmail last let the project have, for people.
  private(set) var share = 1.0

  init(_ terms: Terms) {
    self.terms = terms
    held = terms.stock
    borrowed = terms.stock
  }

  func isPaused(at now: Duration) -> Bool { pausedUntil.map { $0 > now } ?? false }

  /// Requests that may start now; mail that nobody waits for leaves some to mail that somebody waits for.
  func room(at now: Duration, isBulk: Bool) -> Int {
    isPaused(at: now) ? 0 : max(0, held - (isBulk ? terms.stock / 2 : 0))
  }

  /// A request starts.
  mutating func count() { held -= 1 }

  /// What to ask the database for.
  var want: Int { max(0, terms.stock - held + borrowed) }

  mutating func given(_ count: Int, share: Double, pausedFor pause: Duration, at now: Duration) {
    let repaid = min(borrowed, count)
    borrowed -= repaid
    held += count - repaid
    self.share = share
    pausedUntil = pause > .zero ? now + pause : nil
  }

  mutating func pause(until time: Duration) { pausedUntil = max(pausedUntil ?? time, time) }
}
