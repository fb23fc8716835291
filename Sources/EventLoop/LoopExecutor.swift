import CLinux
import DequeModule
import Glibc
import Synchronization

/// The queue of one loop's thread, as both its serial executor (the actor's isolation) and its task executor (so that
/// children of a loop's task stay on the thread).
///
/// A job enqueued from the loop's own thread takes no lock. One from another thread takes a short lock, and writes the
/// eventfd only when the loop sleeps in `epoll_wait`.
public final class LoopExecutor: SerialExecutor, TaskExecutor, @unchecked Sendable {
  // @unchecked: `local` belongs to the loop's thread; the rest is guarded by `mutex`.
  @exclusivity(unchecked) private var local = Deque<UnownedJob>(minimumCapacity: 64)
  private let thread = Atomic<UInt>(0)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var remote: [UnownedJob] = []
  private var remoteActions: [@Sendable (Reactor) -> Void] = []
  private var isAsleep = false
  let wakeDescriptor: Int32

  init() throws(SystemError) {
    wakeDescriptor = try systemCall("eventfd") { clinux_eventfd() }
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    close(wakeDescriptor)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Whether the caller runs on the loop's thread.
  public var isCurrent: Bool { pthread_self() == thread.load(ordering: .relaxed) }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isCurrent {
      local.append(job)
    } else {
      fromOutside { remote.append(job) }
    }
  }

  public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

  public func checkIsolated() { precondition(isCurrent, "called from outside the loop's thread") }

  func execute(_ action: @escaping @Sendable (Reactor) -> Void) {
    fromOutside { remoteActions.append(action) }
  }

  private func fromOutside(_ append: () -> Void) {
    pthread_mutex_lock(mutex)
    append()
    let mustWake = isAsleep
    isAsleep = false
    pthread_mutex_unlock(mutex)
    if mustWake { wake() }
  }

  private func wake() {
    var one: UInt64 = 1
    _ = write(wakeDescriptor, &one, 8)
  }

  // MARK: The loop's side

  func bindToCurrentThread() { thread.store(pthread_self(), ordering: .relaxed) }

  /// After the thread's end: another thread may get its number.
  func unbind() { thread.store(0, ordering: .relaxed) }

  var hasLocalJobs: Bool { !local.isEmpty }

  /// Runs at most `limit` jobs, so that a chain of jobs that enqueue jobs cannot starve sockets and timers.
  func runJobs(limit: Int) {
    let serial = asUnownedSerialExecutor()
    let task = asUnownedTaskExecutor()
    var count = 0
    while count < limit, let job = local.popFirst() {
      job.runSynchronously(isolatedTo: serial, taskExecutor: task)
      count += 1
    }
  }

  /// Takes over what other threads have enqueued; returns the actions for the reactor to run.
  func collectRemote() -> [@Sendable (Reactor) -> Void] {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    isAsleep = false
    if !remote.isEmpty {
      local.append(contentsOf: remote)
      remote.removeAll(keepingCapacity: true)
    }
    guard !remoteActions.isEmpty else { return [] }
    defer { remoteActions = [] }
    return remoteActions
  }

  /// Announces that the loop is about to sleep. False when there is remote work, and the loop must not sleep.
  func prepareToSleep() -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    isAsleep = remote.isEmpty && remoteActions.isEmpty
    return isAsleep
  }

  func drainWakeDescriptor() {
    var value: UInt64 = 0
    _ = read(wakeDescriptor, &value, 8)
  }
}
