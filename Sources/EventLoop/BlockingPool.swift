import Glibc

/// A few threads for calls that block and have no other form (getaddrinfo, file reads, PQcancel). Threads start with
/// the first work and stay, for as long as the process: a pool is never freed.
public final class BlockingPool: @unchecked Sendable {
  // @unchecked: all state is guarded by `mutex`.
  static let shared = BlockingPool(limit: 4)

  private let limit: Int
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [@Sendable () -> Void] = []
  private var threads = 0
  private var idle = 0

  /// - Parameter limit: threads; more work waits.
  public init(limit: Int) {
    self.limit = limit
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  func submit(_ work: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    queue.append(work)
    if idle < queue.count, threads < limit, startThread() { threads += 1 }
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }

  private func startThread() -> Bool {
    var thread = pthread_t()
    let this = Unmanaged.passRetained(self)
    let failure = pthread_create(&thread, nil, blockingPoolMain, this.toOpaque())
    guard failure == 0 else {
      this.release()
      precondition(threads > 0, "pthread_create: \(failure)")
      return false
    }
    pthread_detach(thread)
    return true
  }

  fileprivate func work() -> Never {
    pthread_mutex_lock(mutex)
    while true {
      while queue.isEmpty {
        idle += 1
        pthread_cond_wait(condition, mutex)
        idle -= 1
      }
      let next = queue.removeFirst()
      pthread_mutex_unlock(mutex)
      next()
      pthread_mutex_lock(mutex)
    }
  }
}

private func blockingPoolMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  Unmanaged<BlockingPool>.fromOpaque(argument!).takeRetainedValue().work()
}
