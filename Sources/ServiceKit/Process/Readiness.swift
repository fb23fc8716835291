internal import Synchronization

/// Whether the process can do its work now: what `/readyz` answers.
///
/// A process starts before its database and its peers are there; each of these has a name here and a reason while it
/// is away.
package final class Readiness: Sendable {
  private struct State {
    var reasons: [String: String] = ["process": "is starting"]
    var isDraining = false
    var observers: [@Sendable (Bool) -> Void] = []

    var isReady: Bool { reasons.isEmpty && !isDraining }
  }

  private let state = Mutex(State())

  package init() {}

  /// Announces a dependency that is not ready yet.
  package func expect(_ name: String) { set(name, reason: "has not been reached yet") }

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

  /// Tells now and at every change whether the process is ready, on whichever thread brings the change.
  package func observe(_ observer: @escaping @Sendable (Bool) -> Void) {
    observer(
      state.withLock { state in
        state.observers.append(observer)
        return state.isReady
      })
  }

  private func change<Result: Sendable>(_ body: (inout sending State) -> Result) -> Result {
    let (result, observers, isReady) = state.withLock { state in
      let before = state.isReady
      let result = body(&state)
      return (result, state.isReady == before ? [] : state.observers, state.isReady)
    }
    for observer in observers { observer(isReady) }
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
