import CLinux
import EventLoop
import Glibc

/// A program that this one has started: its output comes line by line, its end is awaited, and it dies with us.
///
/// Not swift-subprocess: it has no parent-death signal on Linux, without which a killed `emailmcp dev` would leave a
/// database and five servers behind.
final class ChildProcess {
  struct Program {
    var name: String
    var path: String
    var arguments: [String] = []
    var environment: [String: String] = [:]
    /// Runs as this user; nil keeps ours.
    var user: SystemUser?
    /// What it gets when we are killed.
    var deathSignal: Int32 = SIGKILL
  }

  enum Ending: Equatable, CustomStringConvertible {
    case exited(Int32)
    case killed(signal: Int32)

    var description: String {
      switch self {
      case .exited(let code): "exited with status \(code)"
      case .killed(let signal): "was killed by signal \(signal) (\(String(cString: strsignal(signal))))"
      }
    }
  }

  let name: String
  let pid: pid_t
  private(set) var ending: Ending?
  private let reactor: Reactor
  private let output: Int32
  private let exit: Int32
  private let line: (String, String) -> Void
  private var partial: [UInt8] = []
  private var isOutputOpen = true
  private var waiters: [Waiter<Ending>] = []
  private var exitWatch: ExitWatch?

  /// A longer line is cut in pieces.
  static let maxLineLength = 64 << 10

  /// - Parameter line: is given the program's name and each line that it writes.
  /// - Throws: `DevError` when the program cannot be started.
  init(_ program: Program, on reactor: Reactor, line: @escaping (String, String) -> Void) throws {
    name = program.name
    self.reactor = reactor
    self.line = line
    var ends: [Int32] = [0, 0]
    guard clinux_pipe(&ends) == 0 else { throw SystemError("pipe2") }
    defer { close(ends[1]) }
    output = ends[0]
    _ = fcntl(output, F_SETFL, O_NONBLOCK)
    let environment = program.environment.map { "\($0.key)=\($0.value)" }
    pid = Self.withPointers([program.path] + program.arguments) { arguments in
      Self.withPointers(environment) { environment in
        clinux_spawn(
          program.path, arguments, environment, ends[1], program.user?.uid ?? 0, program.user?.gid ?? 0,
          program.deathSignal)
      }
    }
    guard pid > 0 else {
      let error = SystemError("starting \(program.path)")
      close(output)
      throw DevError("\(error)")
    }
    exit = clinux_pidfd_open(pid)
    try reactor.register(output, .readable, self)
    // Lives until it is reaped, whoever holds it.
    let watch = ExitWatch { [self] in reap() }
    exitWatch = watch
    try reactor.register(exit, .readable, watch)
  }

  private static func withPointers<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let pointers = strings.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers + [nil])
  }

  func signal(_ number: Int32) {
    if ending == nil { kill(pid, number) }
  }

  /// Waits for the end.
  func wait() async throws -> Ending {
    if let ending { return ending }
    return try await reactor.wait { waiters.append($0) }
  }

  /// Asks it to stop, then, after `grace`, makes it.
  func stop(_ number: Int32 = SIGTERM, grace: Duration) async {
    guard ending == nil else { return }
    signal(number)
    let timer = reactor.schedule(after: grace) { [self] in
      line(name, "did not stop within \(Int(grace.inSeconds)) s: killed")
      signal(SIGKILL)
    }
    while ending == nil { _ = try? await wait() }
    timer.cancel()
  }

  private func reap() {
    var status: Int32 = 0
    guard waitpid(pid, &status, WNOHANG) == pid else { return }
    readOutput()
    if !partial.isEmpty { emit(partial[...]) }
    reactor.deregister(exit)
    close(exit)
    closeOutput()
    exitWatch = nil
    let ending: Ending =
      clinux_exited(status) != 0
      ? .exited(clinux_exit_code(status)) : .killed(signal: clinux_term_signal(status))
    self.ending = ending
    for waiter in waiters { waiter.resume(returning: ending) }
    waiters = []
  }

  private func closeOutput() {
    guard isOutputOpen else { return }
    isOutputOpen = false
    reactor.deregister(output)
    close(output)
  }

  private func readOutput() {
    while isOutputOpen {
      let count = read(output, reactor.readBuffer.baseAddress, reactor.readBuffer.count)
      guard count > 0 else {
        if count == 0 { closeOutput() }
        return
      }
      partial.append(contentsOf: reactor.readBuffer[..<count])
      while let end = partial.firstIndex(of: UInt8(ascii: "\n")) {
        emit(partial[..<end])
        partial.removeSubrange(...end)
      }
      if partial.count >= Self.maxLineLength {
        emit(partial[...])
        partial = []
      }
    }
  }

  private func emit(_ bytes: ArraySlice<UInt8>) { line(name, String(decoding: bytes, as: UTF8.self)) }
}

extension ChildProcess: ReadinessHandler {
  func ready(_ readiness: Interest) { readOutput() }
}

private final class ExitWatch: ReadinessHandler {
  let action: () -> Void
  init(action: @escaping () -> Void) { self.action = action }
  func ready(_ readiness: Interest) { action() }
}

/// A user of this machine, by whom a program may run.
struct SystemUser {
  let name: String
  let uid: uid_t
  let gid: gid_t

  init?(named name: String) {
    guard let entry = getpwnam(name), entry.pointee.pw_uid != 0 else { return nil }
    self.name = name
    uid = entry.pointee.pw_uid
    gid = entry.pointee.pw_gid
  }
}

/// Why `emailmcp dev` cannot go on, in words for the person at the terminal.
struct DevError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
