import EventLoop
import Synchronization

/// The process's part of the project's quota, for all its loops; `ProjectQuota` keeps it in step with the database.
final class ProjectPause: Sendable {
  private struct State {
    var allowance: ProjectAllowance
    /// Not told to the other mailers yet.
    var refusal: Refusal?
  }

  struct Refusal: Sendable, Equatable {
    var pause: Duration
    /// It was too fast: less from now on.
    var isCut: Bool
  }

  let terms: ProjectAllowance.Terms
  private let state: Mutex<State>

  /// - Parameter unitsPerMinute: Google's quota of the project.
  init(unitsPerMinute: Int) {
    terms = ProjectAllowance.Terms(unitsPerMinute: unitsPerMinute)
    state = Mutex(State(allowance: ProjectAllowance(terms)))
  }

  private static func clock(_ now: Instant) -> Duration { .nanoseconds(now.nanoseconds) }

  /// Nothing goes before `until`. Other mailers will know it too.
  func pause(until: Instant, isCut: Bool) {
    state.withLock {
      $0.allowance.pause(until: Self.clock(until))
      let pause = max(.zero, until - .current())
      $0.refusal = Refusal(pause: max(pause, $0.refusal?.pause ?? .zero), isCut: isCut || $0.refusal?.isCut == true)
    }
  }

  /// For mail that somebody waits for.
  func isPaused(at now: Instant) -> Bool {
    state.withLock { $0.allowance.room(at: Self.clock(now), isBulk: false) == 0 }
  }

  /// For mail from the queue: how many requests may start.
  func room(at now: Instant) -> Int { state.withLock { $0.allowance.room(at: Self.clock(now), isBulk: true) } }

  /// Counts a request that is about to start.
  func count() { state.withLock { $0.allowance.count() } }

  /// What to ask for, and what to tell, once.
  func exchange() -> (want: Int, refusal: Refusal?) {
    state.withLock { state in
      defer { state.refusal = nil }
      return (state.allowance.want, state.refusal)
    }
  }

  func given(_ answer: MailStore.ProjectGrant, at now: Instant) {
    state.withLock {
      $0.allowance.given(answer.granted, share: answer.share, pausedFor: answer.paused, at: Self.clock(now))
    }
  }

  /// The refusal could not be told.
  func keep(_ refusal: Refusal) { state.withLock { $0.refusal = $0.refusal ?? refusal } }
}
