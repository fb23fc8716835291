import CLinux
import Glibc

/// Is told when its descriptor is ready.
public protocol ReadinessHandler: AnyObject {
  func ready(_ readiness: Interest)
}

/// Has output to hand to the system at the end of the tick.
public protocol Flushable: AnyObject {
  func flush()
  /// Kept by the reactor, so that an object stands in the list once.
  var isFlushScheduled: Bool { get set }
}

/// The face of a loop towards what lives on it: descriptors, timers, tasks, the end of the tick.
///
/// Not Sendable on purpose: whoever holds it is on the loop's thread, and stays there. A tick is: run jobs (bounded),
/// flush what is dirty, wait for descriptors, dispatch, fire timers.
public final class Reactor {
  public unowned let loop: EventLoop
  /// When the loop woke last: the time of what its descriptors and timers bring, and of the jobs that follow from them.
  /// Read once a tick.
  public var now: Instant { tickTime }
  // Behind an accessor: another module would not know that its accesses need no exclusivity check.
  @exclusivity(unchecked) private var tickTime = Instant.current()

  private struct Slot {
    var handler: (any ReadinessHandler)?
    var generation: UInt32 = 0
  }

  private let poller: Poller
  private let executor: LoopExecutor
  private var slots: [Slot] = []
  private var timers = TimerHeap()
  private var dirty: [any Flushable] = []
  private var flushing: [any Flushable] = []
  private var yielded: [UnsafeContinuation<Void, Never>] = []
  private var isStopping = false

  /// Lent to whoever reads a socket, for the length of that call: connections need no buffer of their own to read.
  package let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readCapacity, alignment: 16)
  /// Of `readBuffer`, in bytes.
  package static let readCapacity = 64 << 10

  /// Empty memory for large output that connections lend each other, so that idle ones hold none. At most four pieces of
  /// at most a mebibyte.
  private var spareBuffers: [[UInt8]] = []

  package func takeSpareBuffer() -> [UInt8]? { spareBuffers.popLast() }

  package func giveSpareBuffer(_ buffer: consuming [UInt8]) {
    if spareBuffers.count < 4, buffer.capacity <= 1 << 20 { spareBuffers.append(buffer) }
  }

  /// Jobs run in one tick before descriptors and timers get their turn.
  static let jobsPerTick = 1024

  init(loop: EventLoop, poller: Poller) {
    self.loop = loop
    self.poller = poller
    self.executor = loop.executor
  }

  deinit { readBuffer.deallocate() }

  // MARK: Descriptors

  /// Watches `fd`, level-triggered, until `deregister`. One handler a descriptor.
  public func register(
    _ fd: Int32, _ interest: Interest, _ handler: any ReadinessHandler
  ) throws(SystemError) {
    while slots.count <= Int(fd) { slots.append(Slot()) }
    precondition(slots[Int(fd)].handler == nil, "descriptor \(fd) is registered already")
    slots[Int(fd)].generation &+= 1
    try poller.control(Int32(clinux_epoll_add), fd, interest.epollEvents, tag(fd))
    slots[Int(fd)].handler = handler
  }

  /// Changes what `fd` is watched for. With nothing to watch for, only a hang-up is reported.
  public func update(_ fd: Int32, _ interest: Interest) throws(SystemError) {
    try poller.control(Int32(clinux_epoll_mod), fd, interest.epollEvents, tag(fd))
  }

  /// Ends the watch; call it before the descriptor is closed. An event already fetched for it is dropped.
  public func deregister(_ fd: Int32) {
    guard Int(fd) < slots.count, slots[Int(fd)].handler != nil else { return }
    slots[Int(fd)].handler = nil
    slots[Int(fd)].generation &+= 1
    try? poller.control(Int32(clinux_epoll_del), fd, 0, 0)  // the descriptor may be closed already
  }

  private func tag(_ fd: Int32) -> UInt64 { UInt64(slots[Int(fd)].generation) << 32 | UInt64(UInt32(bitPattern: fd)) }

  private func dispatch(_ data: UInt64, _ readiness: Interest) {
    let fd = Int(UInt32(truncatingIfNeeded: data))
    guard slots[fd].generation == UInt32(data >> 32), let handler = slots[fd].handler else { return }
    handler.ready(readiness)
  }

  // MARK: Time

  /// Runs `action` on the loop once `delay` has passed, unless the timer is cancelled first.
  @discardableResult
  public func schedule(after delay: Duration, _ action: @escaping () -> Void) -> Timer {
    schedule(at: Instant.current() + delay, action)
  }

  @discardableResult
  public func schedule(at deadline: Instant, _ action: @escaping () -> Void) -> Timer {
    let timer = Timer(deadline: deadline, reactor: self, action: action)
    timers.insert(timer)
    return timer
  }

  func cancel(_ timer: Timer) { timers.remove(timer) }

  /// Suspends the task for `delay`.
  ///
  /// - Throws: `CancellationError` as soon as the task is cancelled.
  public func sleep(for delay: Duration) async throws { try await wait(atMost: delay) { _ in } }

  /// Lets the other jobs, descriptors and timers of the loop have their turn.
  public func yield() async {
    await withUnsafeContinuation { yielded.append($0) }
  }

  // MARK: Tasks

  /// Suspends the task until the waiter that `register` is given is resumed, or the task is cancelled.
  ///
  /// `register` is called at once: nothing else of the loop runs between what the caller looked at to decide that it
  /// waits and the waiter's being known to whoever resumes it.
  /// - Throws: what the waiter is resumed with; `CancellationError` on cancellation.
  public func wait<Value>(
    isolation: isolated (any Actor)? = #isolation, _ register: (Waiter<Value>) -> Void
  ) async throws -> Value {
    try Task.checkCancellation()
    let waiter = Waiter<Value>()
    register(waiter)
    nonisolated(unsafe) let shared = waiter  // touched on the loop's thread alone: `execute` brings it there
    return try await withTaskCancellationHandler {
      _ = isolation  // captured, so that the closure is isolated to the loop: its end is no job of its own then
      return try await withUnsafeThrowingContinuation { shared.suspend($0) }
    } onCancel: { [loop] in
      loop.execute { _ in shared.resume(throwing: CancellationError()) }
    }
  }

  /// The same, no longer than `limit`: what was waited for may not have come then.
  package func wait(atMost limit: Duration, _ register: (Waiter<Void>) -> Void) async throws {
    var timer: Timer?
    defer { timer?.cancel() }
    try await wait { (waiter: Waiter<Void>) in
      register(waiter)
      timer = schedule(after: limit) { waiter.resume(returning: ()) }
    }
  }

  /// Starts a task on this loop; its child tasks stay on the loop's thread too. Keep the task, and end it: by awaiting
  /// or cancelling it.
  @discardableResult
  public func spawn<T: Sendable>(_ body: @escaping () async throws -> T) -> Task<T, any Error> {
    nonisolated(unsafe) let body = body  // stays on this loop: the task is isolated to it
    return loop.assumeIsolated { $0.startTask(body) }
  }

  /// Runs blocking work on a small pool of threads beside the loops: the one that all share, or the caller's own.
  ///
  /// The work itself cannot be cancelled; a cancelled caller stops waiting for it.
  public func offload<T: Sendable>(
    on pool: BlockingPool? = nil, _ body: @escaping @Sendable () throws -> T
  ) async throws -> T {
    try await wait { (waiter: Waiter<T>) in
      nonisolated(unsafe) let waiter = waiter  // only resumed on the loop, by `execute`
      let loop = self.loop
      (pool ?? .shared).submit {
        let result = Result { try body() }
        loop.execute { _ in waiter.resume(with: result) }
      }
    }
  }

  // MARK: The tick

  /// Has `object.flush()` called at the end of this tick, once.
  public func setNeedsFlush(_ object: any Flushable) {
    if object.isFlushScheduled { return }
    object.isFlushScheduled = true
    dirty.append(object)
  }

  func stop() { isStopping = true }

  func runUntilStopped() {
    let wake = WakeHandler(executor: executor)
    do {
      try register(executor.wakeDescriptor, .readable, wake)
    } catch {
      fatalError("the loop cannot watch its own eventfd: \(error)")
    }
    while !isStopping { tick() }
    // What is already runnable gets its end; whoever awaits `shutdown` is among it.
    for _ in 0..<16 where executor.hasLocalJobs { executor.runJobs(limit: Self.jobsPerTick) }
  }

  private func tick() {
    for action in executor.collectRemote() { action(self) }
    executor.runJobs(limit: Self.jobsPerTick)
    flushDirty()
    let events = poller.wait(milliseconds: timeToSleep())
    // Before anything is told: what comes now did not come before the sleep.
    tickTime = .current()
    for event in events { dispatch(event.data.u64, Interest(epollEvents: event.events)) }
    while let timer = timers.popExpired(now) { timer.fire() }
    if !yielded.isEmpty {
      let resumed = yielded
      yielded = []
      for continuation in resumed { continuation.resume() }
    }
  }

  /// What becomes dirty while it flushes gets one more round, not endless ones: the rest waits for the next tick.
  private func flushDirty() {
    for _ in 0..<2 where !dirty.isEmpty {
      swap(&dirty, &flushing)
      for object in flushing {
        object.isFlushScheduled = false
        object.flush()
      }
      flushing.removeAll(keepingCapacity: true)
    }
  }

  private func timeToSleep() -> Int32 {
    if executor.hasLocalJobs || !dirty.isEmpty || !yielded.isEmpty || isStopping { return 0 }
    var milliseconds: Int32 = -1
    if let next = timers.nextDeadline {
      let left = next - Instant.current()
      if left <= .zero { return 0 }
      // Rounded up: a timer must not fire early, and must not spin for the last fraction of a millisecond.
      milliseconds = Int32(clamping: (left.wholeNanoseconds + 999_999) / 1_000_000)
    }
    return executor.prepareToSleep() ? milliseconds : 0
  }
}

private final class WakeHandler: ReadinessHandler {
  let executor: LoopExecutor
  init(executor: LoopExecutor) { self.executor = executor }
  func ready(_ readiness: Interest) { executor.drainWakeDescriptor() }
}
