import ArgumentParser
import EventLoop
import Glibc
import HTTPSClient
import PostgresClient
import ServiceKit

struct DevCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dev",
    abstract: "Runs the whole system on this machine: Postgres, the four services, and a stand-in for Google.",
    discussion: """
      Everything is kept in one folder, for the next run. EMAILMCP_*, AWS_* and OTEL_* variables of the environment are \
      passed on to the services and win over the defaults. Ctrl-C stops all of it.
      """)

  @Option(help: "Where database, certificates and keys are kept.")
  var data = ".emailmcp"

  @Flag(name: .customLong("random-ports"), help: "Takes any free ports instead of the documented ones.")
  var randomPorts = false

  @Option(help: "Also writes addresses and key to this file, as JSON, once everything is ready.")
  var summary: String?

  func run() async throws {
    SignalWatch.prepareProcess()
    let caller = processEnvironment()
    let (data, randomPorts, summary) = (self.data, self.randomPorts, self.summary)
    let loop = try EventLoop.start(name: "dev")
    let failure = await loop.run { reactor -> String? in
      do {
        let folder = try DevFolder(data)
        let ports = try randomPorts ? DevPorts.random() : DevPorts.standard()
        let run = try DevRun(on: reactor, folder: folder, ports: ports, caller: caller)
        try await run.untilStopped(summary: summary)
        return nil
      } catch {
        return "\(error)"
      }
    }
    await loop.shutdown()
    if let failure {
      printLine("emailmcp", "stopped: \(failure)")
      throw ExitCode.failure
    }
  }
}

/// Writes one line, prefixed by the process that it comes from.
func printLine(_ name: String, _ text: String) {
  printText("\(name)\(String(repeating: " ", count: max(0, 8 - name.utf8.count))) | \(text)\n")
}

/// Writes to stdout at once: what a program prints may be all that a watcher sees of it.
func printText(_ text: String) {
  var rest = Array(text.utf8)[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    guard count > 0 else { return }
    rest = rest.dropFirst(count)
  }
}
