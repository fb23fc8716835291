import DequeModule
import EventLoop

/// The tasks that handlers run in. A task serves call after call: starting one for each call was a tenth of an echo
/// call's instructions. A task that was cancelled stays so, and is not used again.
///
/// One worker takes all calls that are ready, as long as their handlers return without waiting. Before it runs the first
/// of several it wakes another one, whose job comes behind its own: that one goes on with the rest when a handler waits.
/// So calls that arrive together cost two wake-ups and not one each.
final class HandlerWorkers {
  private let reactor: Reactor
  @exclusivity(unchecked) private var idle: [HandlerWorker] = []
  /// Calls whose handlers have not begun.
  @exclusivity(unchecked) private var ready: Deque<ServerCall> = []
  /// A worker is woken that has not looked at `ready` yet.
  @exclusivity(unchecked) private var isWaking = false
  /// The turn that began in the tick with this time.
  @exclusivity(unchecked) private var turn = HandlerTurn()
  @exclusivity(unchecked) private var tick = Instant(nanoseconds: 0)
  @exclusivity(unchecked) private var isDismissed = false

  /// Workers that wait for a call; beyond it they end. A waiting task holds about a kilobyte.
  static let maxIdle = 256

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Starts the handler of a call at the loop's next turn.
  func run(_ call: ServerCall) {
    ready.append(call)
    if !isWaking { wakeWorker() }
  }

  private func wakeWorker() {
    isWaking = true
    if let worker = idle.popLast() { return worker.wake() }
    let worker = HandlerWorker()
    worker.task = reactor.spawn { await self.work(worker) }
  }

  private func work(_ worker: HandlerWorker) async {
    while true {
      isWaking = false
      while let call = ready.popFirst() {
        if mustYield() {
          isWaking = true
          ready.prepend(call)
          await reactor.yield()
          isWaking = false
          continue
        }
        if !ready.isEmpty, !isWaking { wakeWorker() }
        await call.run(in: worker)
        guard !worker.isCancelled else { return }
      }
      guard !isDismissed, idle.count < Self.maxIdle else { return }
      await withUnsafeContinuation { continuation in
        worker.continuation = continuation
        idle.append(worker)
      }
    }
  }

  /// Of a call that is about to begin: the handlers of a tick have a turn together, since one job may run all of them.
  private func mustYield() -> Bool {
    if tick != reactor.now { (turn, tick) = (HandlerTurn(), reactor.now) }
    return !turn.goesOn(isLast: ready.isEmpty)
  }

  /// Ends the workers that wait, and the others after their call.
  func dismiss() {
    isDismissed = true
    let dismissed = idle
    idle = []
    for worker in dismissed { worker.wake() }
  }
}

/// One task that runs handlers.
final class HandlerWorker {
  fileprivate var task: Task<Void, any Error>?
  @exclusivity(unchecked) fileprivate var continuation: UnsafeContinuation<Void, Never>?
  @exclusivity(unchecked) fileprivate var isCancelled = false

  /// Cancels the handler that runs now.
  func cancel() {
    isCancelled = true
    task?.cancel()
  }

  fileprivate func wake() {
    guard let continuation else { return }
    self.continuation = nil
    continuation.resume()
  }
}
