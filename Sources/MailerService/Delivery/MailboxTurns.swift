import EventLoop
import Synchronization

/// The mailboxes that this process is sending from for callers who wait, and who is next at each. Gmail is asked for one
/// mail a mailbox at a time, so the next caller's mail is accepted when the one before it is done: trying earlier would
/// make two transactions wait for each other at the mailbox's row, only to find it busy.
///
/// Within one process, and no promise: the database decides. Who has waited for long goes without a turn, to the queue.
final class MailboxTurns: Sendable {
  /// Callers who wait at a mailbox; more go to the queue at once.
  static let capacity = 16
  /// A few of Gmail's usual answers. Mail is durable only once it is accepted, so it does not wait for long before that.
  static let patience: Duration = .milliseconds(500)

  private struct Waiting {
    var id: UInt64
    var caller: LoopReference<Caller>
  }

  private struct State {
    /// Of each mailbox that somebody has the turn of: those who come after.
    var lines: [String: [Waiting]] = [:]
    var nextID: UInt64 = 0
  }

  private let state = Mutex(State())

  /// Waits for the mailbox's turn.
  ///
  /// - Returns: nil when too many are waiting, or it took too long.
  /// - Throws: `CancellationError`; the caller has no turn then and is in nobody's way.
  func take(_ googleSub: String, on reactor: Reactor, within patience: Duration = patience) async throws -> MailboxTurn?
  {
    switch join(googleSub, on: reactor) {
    case .first: return MailboxTurn(self, googleSub)
    case .full: return nil
    case .behind(let id, let caller):
      do {
        try await reactor.wait(atMost: patience) { caller.waiter = $0 }
      } catch {
        if !leave(googleSub, id) { pass(googleSub) }
        throw error
      }
      return leave(googleSub, id) ? nil : MailboxTurn(self, googleSub)
    }
  }

  /// How many wait at a mailbox; nil when nobody has its turn.
  func waiting(at googleSub: String) -> Int? { state.withLock { $0.lines[googleSub]?.count } }

  private enum Place {
    case first, full
    case behind(id: UInt64, Caller)
  }

  private func join(_ googleSub: String, on reactor: Reactor) -> Place {
    let caller = Caller()
    let reference = LoopReference(caller, on: reactor)
    let (isFull, id): (Bool, UInt64?) = state.withLock { state in
      guard let count = state.lines[googleSub]?.count else {
        state.lines[googleSub] = []
        return (false, nil)
      }
      guard count < Self.capacity else { return (true, nil) }
      state.nextID += 1
      state.lines[googleSub]?.append(Waiting(id: state.nextID, caller: reference))
      return (false, state.nextID)
    }
    if let id { return .behind(id: id, caller) }
    return isFull ? .full : .first
  }

  /// - Returns: false when the caller is not in the line any more: it has the turn.
  private func leave(_ googleSub: String, _ id: UInt64) -> Bool {
    state.withLock { state in
      guard let place = state.lines[googleSub]?.firstIndex(where: { $0.id == id }) else { return false }
      state.lines[googleSub]?.remove(at: place)
      return true
    }
  }

  /// The turn is over: it goes to the next one in the line.
  fileprivate func pass(_ googleSub: String) {
    let next: Waiting? = state.withLock { state in
      guard state.lines[googleSub]?.isEmpty == false else {
        state.lines[googleSub] = nil
        return nil
      }
      return state.lines[googleSub]?.removeFirst()
    }
    next?.caller.execute { $0.waiter?.resume(returning: ()) }
  }

  /// One who waits, on its own loop.
  fileprivate final class Caller {
    var waiter: Waiter<Void>?
  }
}

/// The right to send from a mailbox next. Whoever has it calls `end` when its mail is done.
final class MailboxTurn {
  private var turns: MailboxTurns?
  private let googleSub: String

  fileprivate init(_ turns: MailboxTurns, _ googleSub: String) {
    self.turns = turns
    self.googleSub = googleSub
  }

  /// Once; a turn that is dropped, as by an error, ends too.
  func end() {
    turns?.pass(googleSub)
    turns = nil
  }

  deinit { turns?.pass(googleSub) }
}
