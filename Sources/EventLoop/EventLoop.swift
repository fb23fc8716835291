import CLinux
import Glibc

/// One thread that runs sockets, timers and tasks: an actor whose executor is that thread.
///
/// The actor is the Sendable handle; what happens on the thread goes through its `Reactor`, which is not Sendable, so
/// the compiler keeps connections, pools and streams on their loop.
public actor EventLoop {
  public nonisolated let executor: LoopExecutor
  public nonisolated let name: String
  public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

  private var reactor: Reactor?

  private init(name: String, executor: LoopExecutor) {
    self.name = name
    self.executor = executor
  }

  /// Starts a loop on a thread of its own. The thread lives until `shutdown()`.
  ///
  /// - Throws: `SystemError` when no epoll instance, eventfd or thread is to be had.
  public static func start(name: String) throws(SystemError) -> EventLoop {
    let loop = EventLoop(name: name, executor: try LoopExecutor())
    let poller = try Poller()
    let start = Unmanaged.passRetained(ThreadStart(loop: loop, poller: poller))
    var thread = pthread_t()
    let failure = pthread_create(&thread, nil, threadMain, start.toOpaque())
    guard failure == 0 else {
      start.release()
      throw SystemError("pthread_create", failure)
    }
    pthread_detach(thread)
    return loop
  }

  /// Runs `body` on the loop, from anywhere. Child tasks of `body` stay on the loop's thread too.
  public func run<T: Sendable>(_ body: @Sendable (Reactor) async throws -> T) async rethrows -> T {
    try await withTaskExecutorPreference(executor) { try await body(reactor!) }
  }

  /// Runs `body` on the loop at its next turn, from any thread, without waiting. In the order of the calls of a thread.
  public nonisolated func execute(_ body: @escaping @Sendable (Reactor) -> Void) {
    executor.execute(body)
  }

  /// Whether the caller runs on this loop's thread.
  public nonisolated var isCurrent: Bool { executor.isCurrent }

  /// Stops the loop after the tasks that it can still run; what waits for sockets or timers is abandoned, so shut down
  /// servers and clients first. Called from outside the loop.
  public func shutdown() async {
    reactor?.stop()
    reactor = nil
  }

  // MARK: The thread

  fileprivate nonisolated func runThread(_ poller: sending Poller) {
    executor.bindToCurrentThread()
    clinux_name_thread(name)
    nonisolated(unsafe) let poller = poller  // handed over: `start` keeps no reference
    assumeIsolated { loop in
      let reactor = Reactor(loop: loop, poller: poller)
      loop.reactor = reactor
      reactor.runUntilStopped()
    }
    executor.unbind()
  }

  /// Starts a task that is isolated to this loop, and whose children stay on the thread.
  ///
  /// Not `Task(executorPreference:)`, whose code is isolated to nothing: each return of an asynchronous function would
  /// then be a job of its own in the loop's queue, four of them in an echo call.
  func startTask<T: Sendable>(_ body: sending @escaping () async throws -> T) -> Task<T, any Error> {
    Task {
      try await withTaskExecutorPreference(executor) {
        _ = self  // isolated, and so is `body`, only by what it captures
        return try await body()
      }
    }
  }
}

private final class ThreadStart {
  let loop: EventLoop
  let poller: Poller
  init(loop: EventLoop, poller: Poller) {
    self.loop = loop
    self.poller = poller
  }
}

private func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  let start = Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue()
  nonisolated(unsafe) let poller = start.poller
  start.loop.runThread(poller)
  return nil
}

/// The loops of a process, one a core unless told otherwise.
public final class EventLoopGroup: Sendable {
  public let loops: [EventLoop]

  /// - Parameter count: the number of threads; by default one for each core that the process may run on.
  public init(count: Int = availableCores()) throws(SystemError) {
    var loops: [EventLoop] = []
    for index in 0..<count { loops.append(try EventLoop.start(name: "loop-\(index)")) }
    self.loops = loops
  }

  public func shutdown() async {
    for loop in loops { await loop.shutdown() }
  }

  /// The cores that this process may run on (its affinity mask, so that `taskset` and cpusets are obeyed).
  public static func availableCores() -> Int { max(1, Int(clinux_available_cores())) }
}
