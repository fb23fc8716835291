import Foundation

/// A Secrets Manager that speaks AWS's protocol: moto's server. `TEST_SECRETS_MANAGER_URL` names one that runs; else one
/// is started for this process with `EMAILMCP_TEST_PYTHON` or the private environment of `script/python`.
package enum SecretsManagerFixture {
  /// Nil when there is no Python with moto.
  package static let url: String? = {
    if let given = ProcessInfo.processInfo.environment["TEST_SECRETS_MANAGER_URL"], !given.isEmpty { return given }
    return server?.url
  }()

  private static let server = MotoServer()
}

private final class MotoServer: @unchecked Sendable {
  // @unchecked: everything is set in `init` and only read afterwards.
  let url: String
  private let process = Process()
  private let lifeline = Pipe()

  init?() {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..").standardized
    let python =
      ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
      ?? root.appendingPathComponent(".build/venv/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python), let port = try? PostgresServer.freePort() else {
      return nil
    }
    url = "http://127.0.0.1:\(port)"
    // Ends with this process: the shell reads from a pipe that only we hold.
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", "'\(python)' -m moto.server -H 127.0.0.1 -p \(port) </dev/null >/dev/null 2>&1 & read _; kill -KILL $!",
    ]
    process.standardInput = lifeline
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard fcntl(lifeline.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC) == 0, (try? process.run()) != nil,
      Self.waitUntilReady(port)
    else { return nil }
  }

  private static func waitUntilReady(_ port: UInt16) -> Bool {
    for _ in 0..<300 {
      let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(fd) }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      address.sin_port = port.bigEndian
      let isUp = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
      }
      if isUp { return true }
      usleep(100_000)
    }
    return false
  }
}
