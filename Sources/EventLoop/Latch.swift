import Synchronization

/// Opens once; everyone who waits goes on, on their own executor.
package final class Latch: Sendable {
  private enum State {
    case closed([UnsafeContinuation<Void, Never>])
    case open
  }

  private let state = Mutex(State.closed([]))

  package init() {}

  package var isOpen: Bool {
    state.withLock { state in
      if case .open = state { true } else { false }
    }
  }

  /// Opening twice is fine.
  package func open() {
    let waiting = state.withLock { state -> [UnsafeContinuation<Void, Never>] in
      guard case .closed(let waiting) = state else { return [] }
      state = .open
      return waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  package func wait() async {
    await withUnsafeContinuation { continuation in
      let isOpen = state.withLock { state in
        guard case .closed(var waiting) = state else { return true }
        waiting.append(continuation)
        state = .closed(waiting)
        return false
      }
      if isOpen { continuation.resume() }
    }
  }
}
