import CoreMetrics
import EventLoop
import HTTPSClient
import Logging
import PostgresClient
import RPCRuntime
import SecretVault
import ServiceContracts
import ServiceKit
import URLSyntax

/// The process: what is built on each loop, and how it ends.
enum OAuthProcess: Service {
  static let name = "oauth"
  static let defaultListen = "127.0.0.1:7001"
  static let defaultAdminListen = "127.0.0.1:9101"
  static let metrics = [
    MetricDescription("emailmcp_token_refresh_total", help: "Refreshes of access tokens at Google, by result.")
  ]

  static func configure(_ settings: Settings, _ common: CommonSettings) -> OAuthSettings {
    OAuthSettings(settings, common)
  }

  static func start(on loop: ServiceLoop, _ settings: OAuthSettings) async throws -> any ServiceGraph {
    guard let database = settings.database else { preconditionFailure("the settings were checked") }
    let pool = PostgresPool(database, reactor: loop.reactor, logger: loop.logger)
    pool.warmUp()
    let graph = try OAuthGraph(loop, settings, pool)
    try await graph.server.listen(on: "\(settings.common.listen)", tls: settings.rpc.identity.serverContext)
    return graph
  }
}

/// The objects of one loop.
final class OAuthGraph: ServiceGraph {
  let server: RPCServer
  private let pool: PostgresPool
  private let http: HTTPSClient
  private let keeper: TokenKeeper
  private let listener: PostgresListener
  private var maintenance: Task<Void, any Error>?

  init(_ loop: ServiceLoop, _ settings: OAuthSettings, _ pool: PostgresPool) throws {
    self.pool = pool
    let reactor = loop.reactor
    http = try Self.makeHTTPClient(reactor, settings)
    let google = GoogleHTTP(
      http: http, client: settings.client, endpoints: settings.endpoints, keys: settings.keys,
      tracer: loop.tracer, logger: loop.logger)
    let vault = Self.makeVault(loop, settings, pool, http)
    let grants = VaultGrants(vault, client: settings.client, logger: loop.logger)
    let sealer = KeyringSealer(settings.vaultKeys)
    let accounts = PostgresAccounts(pool)
    let feed = ConnectionFeed(reactor: reactor)
    keeper = TokenKeeper(
      reactor: reactor, google: google, accounts: accounts, vault: grants, sealer: sealer, logger: loop.logger,
      count: {
        Counter(label: "emailmcp_token_refresh_total", dimensions: [("result", $0.rawValue)]).increment()
      })
    let authorizer = Authorizer(
      client: settings.client, endpoints: settings.endpoints, google: google, flows: PostgresFlows(pool),
      accounts: accounts, vault: grants, sealer: sealer, logger: loop.logger)
    server = loop.makeRPCServer(settings.rpc, services: [OAuth.service])
    server.register(
      OAuthRPC(
        authorizer: authorizer, keeper: keeper,
        disconnector: Disconnector(google: google, accounts: accounts, vault: grants, logger: loop.logger),
        accounts: accounts, feed: feed, logger: loop.logger))
    listener = pool.listen(ConnectionNotice.channel) { event in
      switch event {
      case .listening: feed.listeningBegan()
      case .notification(let payload): ConnectionNotice(payload: payload).map(feed.publish)
      }
    }
    loop.check(pool)
    if settings.client.current == nil { Self.loadClient(loop, settings, vault) }
    if loop.isFirst { maintenance = Self.purge(reactor, pool, loop.logger) }
  }

  private static func makeVault(
    _ loop: ServiceLoop, _ settings: OAuthSettings, _ pool: PostgresPool, _ http: HTTPSClient
  ) -> any SecretVault {
    switch settings.vault {
    case .sealed: SealedVault(pool: pool, keys: settings.vaultKeys)
    case .aws(let aws): AWSVault(aws, client: http, reactor: loop.reactor, logger: loop.logger)
    }
  }

  private static func makeHTTPClient(_ reactor: Reactor, _ settings: OAuthSettings) throws -> HTTPSClient {
    var configuration = HTTPSClient.Configuration()
    if case .aws(let aws) = settings.vault { configuration.plaintextHosts = aws.plaintextHosts }
    return try HTTPSClient(reactor: reactor, configuration: configuration)
  }

  /// The operator's client from `emailmcp/oauth/config`; until it is there the process is not ready. It is looked at
  /// again now and then, so that a rotated secret needs no restart.
  private static func loadClient(_ loop: ServiceLoop, _ settings: OAuthSettings, _ vault: any SecretVault) {
    loop.check("google_client", every: .seconds(300), isVital: false) {
      guard let secret = try await vault.oauthClient(),
        let redirect = secret.redirectURI.flatMap({ HTTPURL($0) }), redirect.isTrustworthy
      else { throw NotReady("emailmcp/oauth/config has no client_id, client_secret and redirect_uri") }
      settings.client.set(
        GoogleClient(id: secret.clientID, secret: secret.clientSecret, redirectURI: redirect))
    }
  }

  /// Flows nobody finished, and whatever else has expired.
  private static func purge(
    _ reactor: Reactor, _ pool: PostgresPool, _ logger: Logger
  ) -> Task<Void, any Error> {
    reactor.spawn {
      while true {
        try await reactor.sleep(for: .seconds(60))
        do {
          try await removeExpired(pool)
        } catch is CancellationError {
          throw CancellationError()
        } catch {
          logger.warning("expired rows could not be removed", metadata: ["error": "\(error)"])
        }
      }
    }
  }

  static func removeExpired(_ pool: PostgresPool) async throws {
    try await pool.repeatApart("SELECT emailmcp.purge_expired($1)", timeout: .seconds(20))
  }

  func drain(within limit: Duration) async {
    maintenance?.cancel()
    await server.drain(within: limit)
    await keeper.drain()
    await listener.close()
    http.close()
    _ = await maintenance?.result
    await pool.close()
  }
}

/// What a check of a dependency says in the log.
struct NotReady: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
