import EventLoop
import Glibc
import HTTP2Session
import HTTPServer
import HTTPTypes
import InteropSchema
import CoreMetrics
import RPCRuntime
import ServiceKit
import TLSSession
import Transport

/// `protocol-target [--timeout SECONDS]`: the RPC server and the edge's HTTP server as they are, each plain and under
/// TLS, for peers that break the rules. Every time limit is SECONDS (default 10).
///
/// Prints one line: the ports `rpc rpc_tls http http_tls`. `/metrics` of the HTTP server tells what a peer did and what
/// the process holds.
@main
enum ProtocolTarget {
  static func main() async {
    do {
      let flags = try Flags(Array(CommandLine.arguments.dropFirst()), known: ["timeout", "ca_file"])
      let registry = MetricsRegistry()
      MetricsSystem.bootstrap(registry)
      let timeout = Duration.seconds(flags["timeout"].flatMap { Int($0) } ?? 10)
      let identity = try InteropCertificates.makeIdentity(
        rootsAt: flags["ca_file"] ?? InteropCertificates.defaultRoots)
      let loop = try EventLoop.start(name: "target")
      let ports = try await loop.run { reactor in
        let rpc = try await serveRPC(on: reactor, timeout, identity)
        let http = try serveHTTP(on: reactor, timeout, identity, registry)
        return rpc + http
      }
      say(ports.map { "\($0)" }.joined(separator: " "))
      while true { try await Task.sleep(for: .seconds(3600)) }
    } catch {
      say("protocol-target: \(error)", to: STDERR_FILENO)
      exit(1)
    }
  }

  private static func serveRPC(
    on reactor: Reactor, _ timeout: Duration, _ identity: TLSIdentity
  ) async throws -> [UInt16] {
    var configuration = ServerConfiguration()
    configuration.handshakeTimeout = timeout
    configuration.stallTimeout = timeout
    configuration.requests.rateWindow = timeout
    let server = RPCServer(on: reactor, configuration: configuration)
    TestServiceHandlers.register(on: server)
    let tls = try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2"]))
    let plain = try await server.listen(on: "127.0.0.1:0")
    let secure = try await server.listen(on: "127.0.0.1:0", tls: tls)
    return [plain.port, secure.port]
  }

  private static func serveHTTP(
    on reactor: Reactor, _ timeout: Duration, _ identity: TLSIdentity, _ registry: MetricsRegistry
  ) throws -> [UInt16] {
    var configuration = HTTPServerConfiguration()
    configuration.headerTimeout = timeout
    configuration.bodyWindow = timeout
    configuration.stallTimeout = timeout
    configuration.transport.handshake = timeout
    let nanoseconds = UInt64(timeout.wholeNanoseconds)
    configuration.http2.handshakeTimeout = nanoseconds
    configuration.http2.settingsTimeout = nanoseconds
    configuration.http2.headerTimeout = nanoseconds
    configuration.http2.stallTimeout = nanoseconds
    configuration.http2.windowStallTimeout = nanoseconds
    configuration.onLimit = { limit in
      Counter(label: "http_limits_total", dimensions: [("limit", limit)]).increment()
    }
    let server = HTTPServer(on: reactor, configuration: configuration) { request in
      switch request.head.path ?? "" {
      case "/metrics": HTTPServerResponse(.ok, body: registry.exposition())
      case "/echo": HTTPServerResponse(.ok, body: try await request.body.collect(upTo: 1 << 20))
      case "/large": HTTPServerResponse(.ok, body: [UInt8](repeating: 0x61, count: 1 << 20))
      default: .text(.ok, "hello\n")
      }
    }
    let tls = try TLSServerContext(TLSServerSettings(identity: identity, protocols: ["h2", "http/1.1"]))
    let plain = try server.listen(SocketAddress(numericHost: "127.0.0.1", port: 0))
    let secure = try server.listen(SocketAddress(numericHost: "127.0.0.1", port: 0), tls: tls)
    // Kept for the life of the process: nothing else holds the server.
    Kept.server = server
    return [plain.port, secure.port]
  }

  private enum Kept {
    // Written once, on the loop.
    nonisolated(unsafe) static var server: HTTPServer?
  }
}
