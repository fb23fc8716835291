import EventLoop
import Glibc
import TestSupport
import Testing

@testable import EmailMCPCLI

@Suite struct ChildProcessTests {
  private static func shell(_ script: String, environment: [String: String] = [:]) -> ChildProcess.Program {
    .init(name: "sh", path: "/bin/sh", arguments: ["-c", script], environment: environment)
  }

  @Test("both outputs come line by line, the last one without a newline too")
  func lines() async throws {
    let (lines, ending) = try await onLoop { reactor in
      var lines: [String] = []
      let child = try ChildProcess(Self.shell("echo one; echo two >&2; printf three"), on: reactor) { name, line in
        lines.append("\(name): \(line)")
      }
      let ending = try await child.wait()
      return (lines, ending)
    }
    #expect(lines == ["sh: one", "sh: two", "sh: three"])
    #expect(ending == .exited(0))
  }

  @Test("the environment is the given one and no other")
  func environment() async throws {
    let lines = try await onLoop { reactor in
      var lines: [String] = []
      let program = Self.shell("echo $A-$HOME-", environment: ["A": "b c"])
      _ = try await ChildProcess(program, on: reactor) { lines.append($1) }.wait()
      return lines
    }
    #expect(lines == ["b c--"])
  }

  @Test("a status and a signal are told apart")
  func endings() async throws {
    let endings = try await onLoop { reactor in
      [
        try await ChildProcess(Self.shell("exit 3"), on: reactor) { _, _ in }.wait(),
        try await ChildProcess(Self.shell("kill -9 $$"), on: reactor) { _, _ in }.wait(),
      ]
    }
    #expect(endings == [.exited(3), .killed(signal: SIGKILL)])
  }

  @Test("a program that is not there is a clear error at once")
  func missing() async throws {
    let error = await #expect(throws: DevError.self) {
      try await onLoop { reactor in
        _ = try ChildProcess(.init(name: "x", path: "/no/such/program"), on: reactor) { _, _ in }
      }
    }
    #expect(error?.description == "starting /no/such/program: No such file or directory")
  }

  @Test("one that ignores the request to stop is killed after its grace")
  func stop() async throws {
    let (ending, lines) = try await onLoop { reactor in
      var lines: [String] = []
      let child = try ChildProcess(Self.shell("trap '' TERM; echo up; sleep 60 & wait; wait"), on: reactor) {
        lines.append($1)
      }
      while lines.isEmpty { try await reactor.sleep(for: .milliseconds(2)) }
      await child.stop(grace: .milliseconds(50))
      return (child.ending, lines)
    }
    #expect(ending == .killed(signal: SIGKILL))
    #expect(lines.last == "did not stop within 0 s: killed")
  }

  @Test("one that nobody holds any more, and that has closed its output, is reaped all the same")
  func forgotten() async throws {
    try await onLoop { reactor in
      let pid = try ChildProcess(Self.shell("exec sleep 60 >&- 2>&-"), on: reactor) { _, _ in }.pid
      // Its end of the pipe closes before it ends.
      for _ in 0..<50 { try await reactor.sleep(for: .milliseconds(2)) }
      kill(pid, SIGKILL)
      while kill(pid, 0) == 0 { try await reactor.sleep(for: .milliseconds(2)) }
    }
  }

  @Test("it dies when the thread that started it ends, however that comes")
  func orphan() async throws {
    let loop = try EventLoop.start(name: "test")
    let pid = try await loop.run { reactor in
      try ChildProcess(Self.shell("exec sleep 60"), on: reactor) { _, _ in }.pid
    }
    await loop.shutdown()
    var status: Int32 = 0
    while waitpid(pid, &status, 0) == -1, errno == EINTR {}
    #expect(status & 0x7F == SIGKILL)
  }
}
