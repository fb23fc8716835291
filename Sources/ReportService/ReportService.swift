import EventLoop
import Logging
import PostgresClient
import RPCRuntime
import ServiceContracts
import ServiceKit

/// The process that answers reports: reads the roll-ups and the log, writes nothing. `DATABASE_URL` may name a streaming
/// replica.
enum ReportService: Service {
  static let name = "report"
  static let defaultListen = "127.0.0.1:7003"
  static let defaultAdminListen = "127.0.0.1:9103"

  struct Configuration: Sendable {
    var common: CommonSettings
    var database: PostgresConfiguration?
    var rpc: RPCSettings
  }

  static func configure(_ settings: Settings, _ common: CommonSettings) -> Configuration {
    let database = settings.database(of: name)
    return Configuration(common: common, database: database, rpc: RPCSettings(settings, of: name))
  }

  static func start(on loop: ServiceLoop, _ configuration: Configuration) async throws -> any ServiceGraph {
    let graph = try ReportGraph(loop, configuration)
    try await graph.start(on: loop)
    return graph
  }
}

/// What runs on one loop: database and RPC server.
final class ReportGraph: ServiceGraph {
  /// Exports at one time on a loop; more wait a moment and are then refused.
  static let concurrentExports = 4

  private let configuration: ReportService.Configuration
  private let pool: PostgresPool
  private let exportPool: PostgresPool
  private let server: RPCServer

  init(_ loop: ServiceLoop, _ configuration: ReportService.Configuration) throws {
    guard var database = configuration.database else { preconditionFailure("the settings were checked") }
    database.needsWrites = false
    self.configuration = configuration
    pool = PostgresPool(database, reactor: loop.reactor, logger: loop.logger)
    var exports = database
    exports.exclusiveConnections = Self.concurrentExports
    exportPool = PostgresPool(exports, reactor: loop.reactor, logger: loop.logger)
    server = loop.makeRPCServer(configuration.rpc, services: [Reports.service])
    server.register(ReportMethods(store: ReportStore(pool: pool, exportPool: exportPool), logger: loop.logger))
  }

  func start(on loop: ServiceLoop) async throws {
    pool.warmUp()
    try await server.listen(
      on: configuration.common.listen.description, tls: configuration.rpc.identity.serverContext)
    loop.check(pool)
  }

  func drain(within limit: Duration) async {
    await server.drain(within: limit)
    await exportPool.close()
    await pool.close()
  }
}
