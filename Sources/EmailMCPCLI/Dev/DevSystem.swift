import EventLoop
import Glibc
import HTTPSClient
import HTTPTypes

/// The processes of a development system: started in order, each awaited until it is ready, watched, and stopped in
/// reverse order.
final class DevSystem {
  private let reactor: Reactor
  private let http: HTTPSClient
  private let line: (String, String) -> Void
  private var children: [ChildProcess] = []
  private var isStopping = false
  private var failure: Waiter<DevError>?
  private var firstFailure: DevError?

  static let readyTimeout = Duration.seconds(30)
  /// More than a service's own drain time-out.
  static let stopGrace = Duration.seconds(15)

  init(on reactor: Reactor, http: HTTPSClient, line: @escaping (String, String) -> Void) {
    self.reactor = reactor
    self.http = http
    self.line = line
  }

  /// Takes over a child: its end, unless we stop it, is the system's failure.
  func adopt(_ child: ChildProcess) {
    children.append(child)
    reactor.spawn { [self] in
      let ending = try await child.wait()
      if !isStopping { fail(DevError("\(child.name) \(ending)")) }
    }
  }

  private func fail(_ error: DevError) {
    firstFailure = firstFailure ?? error
    failure?.resume(returning: error)
  }

  /// Returns when a child has ended that should not have.
  func waitForFailure() async throws -> DevError {
    if let firstFailure { return firstFailure }
    return try await reactor.wait { failure = $0 }
  }

  /// Starts a program of ours.
  func start(_ name: String, at path: String, environment: [String: String]) throws {
    adopt(try ChildProcess(.init(name: name, path: path, environment: environment), on: reactor, line: line))
  }

  /// Waits until `url` answers 200.
  func awaitReady(_ name: String, _ url: String) async throws {
    let deadline = Instant.current() + Self.readyTimeout
    while true {
      if let firstFailure { throw firstFailure }
      if await isReady(url) { return }
      guard Instant.current() < deadline else {
        throw DevError("\(name) was not ready within \(Int(Self.readyTimeout.inSeconds)) s")
      }
      try await reactor.sleep(for: .milliseconds(20))
    }
  }

  private func isReady(_ url: String) async -> Bool {
    guard let request = try? HTTPRequest(readinessAt: url) else { return false }
    return (try? await http.send(request))?.head.status.code == 200
  }

  func stop() async {
    isStopping = true
    for child in children.reversed() {
      await child.stop(child.name == "postgres" ? SIGINT : SIGTERM, grace: Self.stopGrace)
    }
    children = []
  }
}

extension HTTPRequest {
  fileprivate init(readinessAt url: String) throws {
    let rest = url.dropFirst("http://".count)
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    self.init(method: .get, scheme: "http", authority: String(rest[..<slash]), path: String(rest[slash...]))
  }
}
