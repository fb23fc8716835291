internal import CLinux
package import EventLoop
internal import Glibc

/// Termination signals as readable events on a loop (signalfd(2)), so that no code runs in a signal handler.
package final class SignalWatch: ReadinessHandler {
  private let reactor: Reactor
  private let descriptor: Int32
  private let received: (Int32) -> Void

  /// The signals that end a process in order.
  package static let termination: [Int32] = [SIGTERM, SIGINT, SIGHUP]

  /// Blocks the signals for the calling thread and every thread that it starts later, and ignores SIGPIPE: a peer that
  /// goes away is an error of one write. Call it before the first thread starts.
  package static func prepareProcess() {
    signal(SIGPIPE, SIG_IGN)
    var set = signalSet()
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }

  package init(on reactor: Reactor, _ received: @escaping (Int32) -> Void) throws {
    self.reactor = reactor
    self.received = received
    descriptor = try systemCall("signalfd") {
      var set = Self.signalSet()
      return signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
    }
    try reactor.register(descriptor, .readable, self)
  }

  package func ready(_ readiness: Interest) {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    while read(descriptor, &info, size) == size { received(Int32(info.ssi_signo)) }
  }

  /// Lets the signal do what it does to a process that does not handle it.
  package static func obey(_ number: Int32) {
    signal(number, SIG_DFL)
    var set = signalSet()
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
    raise(number)
  }

  package func close() {
    reactor.deregister(descriptor)
    _ = Glibc.close(descriptor)
  }

  private static func signalSet() -> sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in termination { sigaddset(&set, signal) }
    return set
  }
}

/// Lets the process open as many descriptors as it may: a connection is one.
func raiseDescriptorLimit() {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
  limit.rlim_cur = limit.rlim_max
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
