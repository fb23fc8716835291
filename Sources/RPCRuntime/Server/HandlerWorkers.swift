import EventLoop

/// The tasks that handlers run in. A task serves call after call: starting one for each call was a tenth of an echo
/// call's instructions. A task that was cancelled stays so, and is not used again.
final class HandlerWorkers {
  private let reactor: Reactor
  @exclusivity(unchecked) private var idle: [HandlerWorker] = []
  private var isDismissed = false

  /// Workers that wait for a call; beyond it they end. A waiting task holds about a kilobyte.
  static let maxIdle = 256

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Starts the handler of a call at the loop's next turn.
  ///
  /// - Returns: whom to cancel while the handler runs.
  func run(_ call: ServerCall) -> HandlerWorker {
    if let worker = idle.popLast() {
      worker.assign(call)
      return worker
    }
    let worker = HandlerWorker()
    worker.next = call
    worker.task = reactor.spawn { await self.work(worker) }
    return worker
  }

  private func work(_ worker: HandlerWorker) async {
    while let call = worker.next {
      worker.next = nil
      await call.run()
      if worker.isCancelled || isDismissed || idle.count >= Self.maxIdle { return }
      await withUnsafeContinuation { continuation in
        worker.continuation = continuation
        idle.append(worker)
      }
    }
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
  @exclusivity(unchecked) fileprivate var next: ServerCall?
  @exclusivity(unchecked) fileprivate var continuation: UnsafeContinuation<Void, Never>?
  fileprivate var isCancelled = false

  /// Cancels the handler that runs now.
  func cancel() {
    isCancelled = true
    task?.cancel()
  }

  fileprivate func assign(_ call: ServerCall) {
    next = call
    wake()
  }

  fileprivate func wake() {
    guard let continuation else { return }
    self.continuation = nil
    continuation.resume()
  }
}
