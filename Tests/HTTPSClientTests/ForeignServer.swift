import Foundation
import Glibc
import Synchronization
import TLSSession

/// A foreign HTTP/2 server over TLS as a process, with a certificate of a test's own CA.
final class ForeignServer: Sendable {
  /// nghttpd, which echoes request bodies.
  static let nghttpd: String? = ["/usr/sbin/nghttpd", "/usr/bin/nghttpd"].first { access($0, X_OK) == 0 }

  /// A Python with the packages of the tests, which runs a server that misbehaves when asked to.
  static let python: String? = {
    let environment = ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
    return [environment, ".build/venv/bin/python"].compactMap { $0 }.first { access($0, X_OK) == 0 }
  }()

  let port: UInt16
  let authorityPEM: [UInt8]
  var authority: String { "localhost:\(port)" }
  private let process: pid_t
  private let isReaped = Atomic(false)
  private let folder: URL

  static func echoing() async throws -> ForeignServer {
    try await ForeignServer { port, key, certificate, folder in
      [nghttpd!, "--address=127.0.0.1", "--echo-upload", "--htdocs=\(folder)", port, key, certificate]
    }
  }

  static func misbehaving() async throws -> ForeignServer {
    try await ForeignServer { port, key, certificate, _ in
      [python!, "Tests/Python/h2_server.py", port, key, certificate]
    }
  }

  private init(_ command: (_ port: String, _ key: String, _ certificate: String, _ folder: String) -> [String])
    async throws
  {
    folder = FileManager.default.temporaryDirectory.appending(path: "foreign-server-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let authority = try CertificateAuthority.make(commonName: "test authority")
    let issued = try authority.issue(
      .init(commonName: "localhost", dnsNames: ["localhost"]))
    authorityPEM = authority.certificate.pem
    let key = folder.appending(path: "key.pem")
    let certificate = folder.appending(path: "certificate.pem")
    try Data(issued.key.pem().revealed).write(to: key)
    try Data(issued.certificate.pem).write(to: certificate)
    port = try ScriptedServer { _ in }.port
    process = try Self.start(command("\(port)", key.path, certificate.path, folder.path))
    try await waitUntilItListens()
  }

  deinit {
    kill()
    try? FileManager.default.removeItem(at: folder)
  }

  func kill() {
    guard !isReaped.exchange(true, ordering: .relaxed) else { return }
    Glibc.kill(process, SIGKILL)
    waitpid(process, nil, 0)
  }

  private static func start(_ command: [String]) throws -> pid_t {
    var words = command.map { strdup($0) } + [nil]
    defer { words.forEach { free($0) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in 1...2 { posix_spawn_file_actions_addopen(&actions, Int32(descriptor), "/dev/null", O_WRONLY, 0) }
    var process = pid_t()
    guard posix_spawn(&process, command[0], &actions, nil, &words, environ) == 0 else { throw POSIXError(.ENOENT) }
    return process
  }

  private func waitUntilItListens() async throws {
    for _ in 0..<500 {
      let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(fd) }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      address.sin_port = port.bigEndian
      let isConnected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
      }
      if isConnected { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw POSIXError(.ETIMEDOUT)
  }
}
