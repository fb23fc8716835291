import CLinux
import Glibc

/// Termination signals as readable events on a loop. The handler does no more than to write the number into a pipe.
///
/// Not signalfd(2): it needs the signals blocked in every thread, and an `async main` parks the first thread in
/// `sigsuspend` with an empty mask (swift-corelibs-libdispatch, `dispatch_main`), where they then end the process.
package final class SignalWatch: ReadinessHandler {
  private let reactor: Reactor
  private let readEnd: Int32
  private let writeEnd: Int32
  private let received: (Int32) -> Void

  /// The signals that end a process in order.
  package static let termination: [Int32] = [SIGTERM, SIGINT, SIGHUP]

  /// Ignores SIGPIPE: a peer that goes away is an error of one write.
  package static func prepareProcess() { signal(SIGPIPE, SIG_IGN) }

  /// One at a time in a process.
  package init(on reactor: Reactor, _ received: @escaping (Int32) -> Void) throws {
    self.reactor = reactor
    self.received = received
    var ends: [Int32] = [0, 0]
    try systemCall("pipe2") { clinux_pipe(&ends) }
    (readEnd, writeEnd) = (ends[0], ends[1])
    for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    try reactor.register(readEnd, .readable, self)
    for number in Self.termination { clinux_forward_signal(number, writeEnd) }
  }

  package func ready(_ readiness: Interest) {
    var number: UInt8 = 0
    while read(readEnd, &number, 1) == 1 { received(Int32(number)) }
  }

  /// Lets the signal do what it does to a process that does not handle it.
  package static func obey(_ number: Int32) {
    signal(number, SIG_DFL)
    raise(number)
  }

  package func close() {
    for number in Self.termination { signal(number, SIG_DFL) }
    reactor.deregister(readEnd)
    _ = Glibc.close(readEnd)
    _ = Glibc.close(writeEnd)
  }
}
