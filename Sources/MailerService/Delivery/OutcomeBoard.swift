import CivilTime
import EventLoop
import Synchronization

/// Where those who wait for a queued mail are told of its outcome by whichever loop of the process has it. Mail that
/// another process sends is found out by looking into the log.
final class OutcomeBoard: Sendable {
  typealias Listener = @Sendable (SendOutcome, Timestamp) -> Void

  private struct State {
    var listeners: [UniqueID: [UInt64: Listener]] = [:]
    var nextToken: UInt64 = 0
  }

  private let state = Mutex(State())

  /// - Returns: what to give `remove`.
  func add(_ id: UniqueID, _ listener: @escaping Listener) -> UInt64 {
    state.withLock { state in
      state.nextToken += 1
      state.listeners[id, default: [:]][state.nextToken] = listener
      return state.nextToken
    }
  }

  func remove(_ id: UniqueID, _ token: UInt64) {
    state.withLock { state in
      state.listeners[id]?[token] = nil
      if state.listeners[id]?.isEmpty == true { state.listeners[id] = nil }
    }
  }

  func post(_ id: UniqueID, _ outcome: SendOutcome, at time: Timestamp) {
    let listeners = state.withLock { $0.listeners.removeValue(forKey: id) }
    for listener in (listeners ?? [:]).values { listener(outcome, time) }
  }
}
