internal import Synchronization

/// Whether the process can do its work now: what `/readyz` answers.
///
/// A process starts before its database and its peers are there; each of these has a name here and a reason while it
/// is away.
package final class Readiness: Sendable {
  package struct Standing: Sendable, Equatable {
    /// Everything that the process needs is there.
    package let isReady: Bool
    /// What calls cannot do without is there: callers need not go elsewhere.
    package let takesCalls: Bool
  }

  private struct State {
    var reasons: [String: String] = ["process": "is starting"]
    /// Those that calls can do without.
    var optional: Set<String> = []
    var isDraining = false
    var observers: [@Sendable (Standing) -> Void] = []

    var standing: Standing {
      Standing(
        isReady: reasons.isEmpty && !isDraining,
        takesCalls: !isDraining && reasons.keys.allSatisfy(optional.contains))
    }
  }

  package let clock = ClockDoubt()
  private let state = Mutex(State())
  /// Held while observers hear how it stands, so that the last thing they hear is how it stands now.
  private let telling = Mutex(())

  package init() {}

  /// Announces a dependency that is not ready yet.
  ///
  /// - Parameter isVital: whether calls are of no use without it.
  package func expect(_ name: String, isVital: Bool = true) {
    change { state in
      if !isVital { state.optional.insert(name) }
      state.reasons[name] = "has not been reached yet"
    }
  }

  /// - Parameter reason: nil when the dependency is fine; else a phrase without secrets that follows the name.
  /// - Returns: whether this changed anything.
  @discardableResult
  package func set(_ name: String, reason: String?) -> Bool {
    change { state in
      guard state.reasons[name] != reason else { return false }
      state.reasons[name] = reason
      return true
    }
  }

  /// Tells now and at every change how the process stands, on whichever thread brings the change; one call at a time.
  /// The observer changes nothing here itself.
  package func observe(_ observer: @escaping @Sendable (Standing) -> Void) {
    telling.withLock { _ in
      observer(
        state.withLock { state in
          state.observers.append(observer)
          return state.standing
        })
    }
  }

  private func change<Result: Sendable>(_ body: (inout sending State) -> Result) -> Result {
    let (result, isNews) = state.withLock { state in
      let before = state.standing
      let result = body(&state)
      return (result, state.standing != before)
    }
    if isNews {
      telling.withLock { _ in
        let (observers, standing) = state.withLock { ($0.observers, $0.standing) }
        for observer in observers { observer(standing) }
      }
    }
    return result
  }

  /// The process itself has started.
  package func started() { set("process", reason: nil) }

  /// From now on never ready: load balancers go elsewhere while the work in hand is finished.
  package func drain() { change { $0.isDraining = true } }

  package var isReady: Bool { reasons.isEmpty }

  /// Why not, by name; empty when ready.
  package var reasons: [String: String] {
    state.withLock { state in
      var reasons = state.reasons
      if state.isDraining { reasons["process"] = "is draining" }
      return reasons
    }
  }
}
