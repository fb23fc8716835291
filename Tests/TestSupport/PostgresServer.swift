import Foundation

/// A private Postgres from the system's server binaries, in a folder of its own under /tmp, on a Unix socket and a
/// loopback port. It ends with this process, however that ends: its watcher reads from a pipe that only we hold.
final class PostgresServer: @unchecked Sendable {
  // @unchecked: everything is set in `init` and only read afterwards.
  let directory: String
  let port: UInt16
  private let process: Process
  private let lifeline: Pipe

  init() throws {
    directory = try Self.makeDirectory()
    port = try Self.freePort()
    let binaries = try Self.findBinaries()
    let asUser = try Self.userPrefix(directory)
    try Self.run(
      asUser + [
        "\(binaries)/initdb", "-D", "\(directory)/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C",
        "--no-sync",
      ])
    let settings = [
      "listen_addresses=127.0.0.1", "port=\(port)", "unix_socket_directories=\(directory)", "fsync=off",
      "synchronous_commit=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB",
      "autovacuum_naptime=10s", "log_min_messages=warning",
    ]
    let command = (asUser + ["\(binaries)/postgres", "-D", "\(directory)/data"] + settings.flatMap { ["-c", $0] })
      .map { "'\($0)'" }.joined(separator: " ")
    lifeline = Pipe()
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c",
      "\(command) </dev/null >'\(directory)/log' 2>&1 & read _; kill -QUIT $!; sleep 1; rm -rf '\(directory)'",
    ]
    process.standardInput = lifeline
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    // Only this process may hold the other end.
    guard fcntl(lifeline.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC) == 0 else {
      throw FixtureError("fcntl: \(errno)")
    }
    try process.run()
    try waitUntilReady(binaries)
  }

  private func waitUntilReady(_ binaries: String) throws {
    for _ in 0..<200 {
      if (try? Self.run(["\(binaries)/pg_isready", "-q", "-h", directory, "-p", String(port)])) != nil { return }
      usleep(50_000)
    }
    let log = (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? ""
    throw FixtureError("the test's Postgres did not start: \(log.suffix(500))")
  }

  private static func makeDirectory() throws -> String {
    var template = Array("/tmp/emailmcp-pg-XXXXXX".utf8CString)
    guard let path = mkdtemp(&template) else { throw FixtureError("mkdtemp: \(errno)") }
    return String(cString: path)
  }

  static func freePort() throws -> UInt16 {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(fd) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let found = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, length) == 0 && getsockname(fd, $0, &length) == 0
      }
    }
    guard found else { throw FixtureError("no free port") }
    return UInt16(bigEndian: address.sin_port)
  }

  private static func findBinaries() throws -> String {
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
    var candidates = versions.compactMap(Int.init).sorted(by: >).map { "/usr/lib/postgresql/\($0)/bin" }
    candidates += (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    let found = candidates.first {
      FileManager.default.isExecutableFile(atPath: "\($0)/postgres")
        && FileManager.default.isExecutableFile(atPath: "\($0)/initdb")
    }
    guard let found else {
      throw FixtureError("no Postgres server binaries; install the package \"postgresql\", or set TEST_DATABASE_URL")
    }
    return found
  }

  /// Postgres refuses to run as root: then it runs as its own user, or as nobody.
  private static func userPrefix(_ directory: String) throws -> [String] {
    guard geteuid() == 0 else { return [] }
    guard let user = ["postgres", "nobody"].first(where: { (name: String) in getpwnam(name) != nil }),
      let entry = getpwnam(user)
    else {
      throw FixtureError("no user to run Postgres as")
    }
    guard chown(directory, entry.pointee.pw_uid, entry.pointee.pw_gid) == 0 else {
      throw FixtureError("chown: \(errno)")
    }
    return ["/usr/bin/setpriv", "--reuid=\(entry.pointee.pw_uid)", "--regid=\(entry.pointee.pw_gid)", "--clear-groups"]
  }

  private static func run(_ command: [String]) throws {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    process.currentDirectoryURL = URL(fileURLWithPath: "/tmp")
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw FixtureError("\(command[0]) ended with \(process.terminationStatus): \(text.suffix(500))")
    }
  }
}

package struct FixtureError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
