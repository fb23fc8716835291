internal import CLinux
internal import Glibc
internal import Synchronization

/// Where finished log lines go: a bounded buffer that one thread writes out, so that a slow reader of the log never holds
/// up a loop. A line that finds the buffer full, or cannot be written, is dropped and counted.
package final class LogWriter: Sendable {
  private struct State {
    var pending: [UInt8] = []
    var isWriting = false
    var dropped = 0
  }

  /// Bytes that may wait. Default 4 MiB: some 20,000 lines.
  private let limit: Int
  private let descriptor: Int32
  private let state = Mutex(State())
  private let wakeup: Wakeup

  /// Starts the thread. It lives as long as the process.
  package init(descriptor: Int32 = STDERR_FILENO, limit: Int = 4 << 20) {
    self.descriptor = descriptor
    self.limit = limit
    wakeup = Wakeup()
    startThread(named: "log") { self.writeForever() }
  }

  /// Takes one line, its line feed included.
  package func write(_ line: [UInt8]) {
    let wasIdle = state.withLock { state in
      guard state.pending.count + line.count <= limit else {
        state.dropped += 1
        return false
      }
      state.pending.append(contentsOf: line)
      return state.pending.count == line.count
    }
    if wasIdle { wakeup.signal() }
  }

  /// Lines dropped since the start.
  package var droppedLines: Int { state.withLock { $0.dropped } }

  /// Waits until everything is written, at most one second: for the end of the process.
  package func flush() {
    for _ in 0..<200 {
      if state.withLock({ $0.pending.isEmpty && !$0.isWriting }) { return }
      usleep(5_000)
    }
  }

  private func writeForever() {
    while true {
      wakeup.wait()
      let bytes = state.withLock { state in
        state.isWriting = true
        var bytes: [UInt8] = []
        swap(&bytes, &state.pending)
        return bytes
      }
      let lost = bytes.withUnsafeBytes(writeAll)
      state.withLock { state in
        state.dropped += lost
        state.isWriting = false
      }
    }
  }

  /// Gives up on any error but a full pipe: with nobody to read the log, or no room for it, there is nobody to tell.
  ///
  /// - Returns: the lines that were not written, or not to their ends.
  private func writeAll(_ bytes: UnsafeRawBufferPointer) -> Int {
    var rest = bytes
    while let base = rest.baseAddress, !rest.isEmpty {
      let written = Glibc.write(descriptor, base, rest.count)
      if written > 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
      } else if written < 0, errno == EAGAIN {
        var watched = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&watched, 1, 1_000)
      } else if written == 0 || errno != EINTR {
        return rest.count { $0 == UInt8(ascii: "\n") }
      }
    }
    return 0
  }
}

/// A semaphore of the C library.
private final class Wakeup: @unchecked Sendable {
  // A sem_t must not move; its functions may be called from any thread.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func signal() { sem_post(semaphore) }

  func wait() {
    while sem_wait(semaphore) != 0 {}
  }
}

/// Starts a detached thread with every signal blocked: signals are the main thread's.
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) {
  var everything = sigset_t()
  var previous = sigset_t()
  sigfillset(&everything)
  pthread_sigmask(SIG_SETMASK, &everything, &previous)
  defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(
    ThreadBody {
      clinux_name_thread(name)
      body()
    })
  let result = pthread_create(
    &thread, nil,
    { box in
      Unmanaged<ThreadBody>.fromOpaque(box!).takeRetainedValue().run()
      return nil
    }, box.toOpaque())
  guard result == 0 else { fatalError("pthread_create: \(String(cString: strerror(result)))") }
  pthread_detach(thread)
}

private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(run: @escaping @Sendable () -> Void) { self.run = run }
}
