import EventLoop

/// When a name is looked up, as a value: at once the first time, then after failures and at a rate, never more often
/// than the minimum interval.
struct ResolutionSchedule: Equatable {
  enum Action: Equatable {
    case nothing
    case resolve
    /// Say `timeElapsed` then; takes the place of an earlier time.
    case wait(until: Instant)
  }

  private let configuration: ResolutionConfiguration
  private var startedAt: Instant?
  private var isRunning = false
  private var isWantedAgain = false
  private var dueAt: Instant?
  private var isPaused = false

  init(_ configuration: ResolutionConfiguration) { self.configuration = configuration }

  /// Somebody wants addresses, or doubts those that are known.
  mutating func wanted(now: Instant) -> Action {
    isPaused = false
    guard !isRunning else {
      isWantedAgain = true
      return .nothing
    }
    guard let startedAt, now < startedAt + configuration.minimumInterval else { return start(now) }
    return plan(startedAt + configuration.minimumInterval)
  }

  /// The look-up has ended, well or not.
  ///
  /// - Parameter random: in 0..<1.
  mutating func ended(now: Instant, random: Double) -> Action {
    guard isRunning else { return .nothing }
    isRunning = false
    if isPaused { return .nothing }
    if isWantedAgain { return wanted(now: now) }
    guard let interval = configuration.refreshInterval else { return .nothing }
    let jittered = max(interval * (0.8 + 0.4 * random), configuration.minimumInterval)
    return plan(now + jittered)
  }

  mutating func timeElapsed(now: Instant) -> Action {
    guard dueAt != nil, !isRunning else { return .nothing }
    return start(now)
  }

  /// The channel is idle: nobody needs addresses.
  mutating func pause() {
    isPaused = true
    isWantedAgain = false
    dueAt = nil
  }

  private mutating func start(_ now: Instant) -> Action {
    startedAt = now
    isRunning = true
    isWantedAgain = false
    dueAt = nil
    return .resolve
  }

  private mutating func plan(_ time: Instant) -> Action {
    if let dueAt, dueAt <= time { return .nothing }
    dueAt = time
    return .wait(until: time)
  }
}
