/// What a mailbox may still send, from its state of one moment. The arithmetic is that of `MailboxPace` in the database.
struct MailboxCapacity: Sendable, Equatable {
  /// A mailbox as it stands: times are from now.
  struct State: Sendable, Equatable {
    /// Until the next request may start: pace, or a pause.
    var wait: Duration = .zero
    /// Until its starts so far are paid for.
    var debt: Duration = .zero
    /// Requests that may start early.
    var credit: Int
    var dayLimit: Int
    var dayUsed = 0
    /// Until some of a day that is used up is free again.
    var dayFrees: Duration?
    /// Of its pace, after Gmail's refusals (`emailmcp.pace_share`).
    var share = 1.0
  }

  static let minute: Duration = .seconds(60)

  let state: State
  /// Between two requests: longer while the share is cut.
  let interval: Duration
  let minuteLimit: Int

  init(_ state: State, _ terms: MailboxPace.Terms) {
    self.state = state
    interval = state.share < 1 ? terms.interval / state.share : terms.interval
    minuteLimit = Int((Self.minute / terms.interval).rounded())
  }

  /// Mails whose requests may start within 60 s from now. One counts at least one recipient.
  var minuteLeft: Int {
    let free = Self.minute - max(state.wait, state.debt)
    guard free > .zero else { return 0 }
    return min(minuteLimit, Int((free / interval).rounded(.up)), dayLeft)
  }

  var dayLeft: Int { max(0, state.dayLimit - state.dayUsed) }

  /// Until the next request may start.
  var nextSend: Duration { isDayOver ? state.dayFrees ?? .zero : state.wait }

  /// Whether the day holds the next request back for longer than anything else.
  var isDayOver: Bool { dayLeft == 0 && state.dayFrees ?? .zero > state.wait }

  /// The soonest that `mails` to `recipients` can all have started: no quota allows it earlier.
  func soonest(mails: Int, recipients: Int) -> Duration {
    guard mails > 0 else { return .zero }
    let early = (state.share < 1 ? 0 : state.credit) + (state.debt > .zero ? 0 : 1)
    let paced = mails <= early ? .zero : state.debt + interval * (mails - 1)
    return max(state.wait, paced, dayTime(recipients, rounding: .down))
  }

  /// How long the day's quota holds back the last of `recipients`: whole days for what is beyond one day's worth, and
  /// beyond what is left of this one. Between the two lies how much of the used day comes back how soon.
  fileprivate func dayTime(_ recipients: Int, rounding: FloatingPointRoundingRule) -> Duration {
    guard recipients > dayLeft, state.dayLimit > 0 else { return .zero }
    let beyond = rounding == .up ? recipients - dayLeft : recipients - state.dayLimit
    let days = (Double(max(0, beyond)) / Double(state.dayLimit)).rounded(.up)
    return max(state.dayFrees ?? .zero, .seconds(86_400 * Int64(min(days, 100_000))))
  }
}

/// When a mailbox's queue will be empty. What is known for sure is how soon it cannot be; what is expected rests on the
/// pace that the queue has shown, once it has been busy for long enough to show one.
struct QueueForecast: Sendable, Equatable {
  struct Backlog: Sendable, Equatable {
    var mails = 0
    var recipients = 0
    /// The age of its oldest mail.
    var oldest: Duration = .zero
    /// Outcomes within `window`.
    var finished = 0
    var window: Duration = .zero
  }

  enum Basis: Sendable, Equatable { case limits, observed }

  /// From now; nil: nothing waits.
  private(set) var earliest: Duration?
  /// Nil: nothing waits, or nothing of it was sent although all the while there was something to send.
  private(set) var expected: Duration?
  private(set) var basis: Basis?

  init(_ backlog: Backlog, _ capacity: MailboxCapacity) {
    guard backlog.mails > 0 else { return }
    let soonest = capacity.soonest(mails: backlog.mails, recipients: backlog.recipients)
    earliest = soonest
    let held = max(soonest, capacity.dayTime(backlog.recipients, rounding: .up))
    guard backlog.window > .zero, backlog.oldest >= backlog.window else {
      expected = held
      basis = .limits
      return
    }
    guard backlog.finished > 0 else { return }
    expected = max(held, backlog.window * (Double(backlog.mails) / Double(backlog.finished)))
    basis = .observed
  }
}
