import EventLoop
import HTTPServer
import HTTPTypes
import Logging
import CoreMetrics
import PostgresClient
import RPCRuntime
import ServiceKit
import TLSSession

/// The public face: REST in, gRPC to the services behind.
enum Edge: Service {
  static let name = "edge"
  static let defaultListen = "localhost:8080"
  static let defaultAdminListen = "localhost:9100"
  static let metrics = [
    MetricDescription("emailmcp_http_requests_total", help: "HTTP requests, by route and status code."),
    MetricDescription(
      "emailmcp_http_request_duration_seconds", help: "Time from a request's head to its answer's end."),
    MetricDescription(
      "emailmcp_key_pepper_uses_total", help: "Requests with an API key, by the pepper that the key was made under."),
    MetricDescription("emailmcp_http_limits_total", help: "Clients that met one of the limits on HTTP, by limit."),
  ]

  static func configure(_ settings: Settings, _ common: CommonSettings) -> EdgeConfiguration {
    EdgeConfiguration(settings, common)
  }

  static func start(on loop: ServiceLoop, _ configuration: EdgeConfiguration) async throws -> any ServiceGraph {
    try await EdgeGraph(on: loop, configuration)
  }
}

/// The edge's objects on one loop.
final class EdgeGraph: ServiceGraph {
  private let server: HTTPServer
  private let backends: Backends
  private let pool: PostgresPool

  init(on loop: ServiceLoop, _ configuration: EdgeConfiguration) async throws {
    guard let database = configuration.database else { preconditionFailure("the settings were checked") }
    let reactor = loop.reactor
    pool = PostgresPool(database, reactor: reactor, logger: loop.logger)
    let (rpc, maxResponse) = (configuration.rpc, 8 << 20)
    backends = Backends(
      oauth: try loop.makeChannel(to: .oauth, at: configuration.oauth, rpc, maxResponseBytes: maxResponse),
      mailer: try loop.makeChannel(to: .mailer, at: configuration.mailer, rpc, maxResponseBytes: maxResponse),
      reports: try loop.makeChannel(to: .report, at: configuration.reports, rpc, maxResponseBytes: maxResponse),
      contextKeys: configuration.rpc.contextKeys)
    let clock = { UInt64(Instant.current().nanoseconds) }
    let handler = EdgeHandler(
      store: CachingEdgeStore(PostgresEdgeStore(pool), background: { reactor.spawn($0) }, now: clock),
      backends: backends, access: configuration.access,
      readiness: loop.readiness, tracer: loop.tracer, logger: loop.logger, on: reactor, now: clock)
    server = HTTPServer(on: reactor, configuration: Self.serverConfiguration()) { await handler.respond(to: $0) }
    try server.listen(
      try await configuration.listen.resolve(on: reactor), tls: configuration.publicTLS)
    loop.check(pool)
    loop.check(.oauth, through: backends.oauth)
    loop.check(.mailer, through: backends.mailer)
    loop.check(.report, through: backends.reports)
  }

  func drain(within limit: Duration) async {
    await server.drain(timeout: limit)
    backends.close()
    await pool.close()
  }

  /// The server's own refusals look like the API's.
  static func serverConfiguration() -> HTTPServerConfiguration {
    var configuration = HTTPServerConfiguration()
    configuration.errorResponse = { status, reason in
      let requestID = Hex.encode(SecureRandom.bytes(16))
      let code = ServerRefusal.codes[status.code] ?? "invalid_request"
      let sentence = reason.prefix(1).uppercased() + reason.dropFirst() + "."
      var response = Problem(status.code, code, sentence).response(requestID: requestID, path: "")
      response.head.headerFields[.requestID] = requestID
      response.head.headerFields[.cacheControl] = "no-store"
      return response
    }
    configuration.onLimit = { limit in
      Counter(label: "emailmcp_http_limits", dimensions: [("limit", limit)]).increment()
    }
    return configuration
  }
}

/// The `code` of what the HTTP server refuses before a handler sees it.
enum ServerRefusal {
  static let codes: [Int: String] = [
    400: "malformed_request", 408: "request_timeout", 413: "body_too_large", 414: "uri_too_long",
    417: "expectation_failed", 431: "headers_too_large", 500: "internal", 501: "not_implemented",
    505: "http_version_not_supported",
  ]
}
