import CivilTime
import EventLoop
import Glibc
import HTTPSClient
import Logging
import MailSyntax
import PostgresClient
import RPCRuntime
import SecretVault
import ServiceContracts
import ServiceKit
import TLSSession
import URLSyntax

/// The process that accepts mail, sends it through Gmail and keeps the log.
enum MailerService: Service {
  static let name = "mailer"
  static let defaultListen = "127.0.0.1:7002"
  static let defaultAdminListen = "127.0.0.1:9102"
  static let metrics = [
    MetricDescription("emailmcp_send_outcomes_total", help: "Mails that became final, by outcome."),
    MetricDescription("emailmcp_queue_depth", help: "Accepted mails that are not final."),
    MetricDescription(
      "emailmcp_queue_oldest_age_seconds", help: "Longest time that mail which may leave waits for a mailer."),
    MetricDescription("emailmcp_gmail_request_duration_seconds", help: "Time that a request to Gmail took."),
    MetricDescription(
      "emailmcp_project_pace_share", help: "Part of the project's quota that is used; 1 unless Gmail refused for speed."
    ),
    MetricDescription(
      "emailmcp_project_paused_seconds", help: "How long the whole project still waits, as Gmail asked."),
    MetricDescription("emailmcp_webhook_attempts_total", help: "Attempts to tell a webhook endpoint, by outcome."),
    MetricDescription("emailmcp_webhooks_pending", help: "Webhooks that are still to be told."),
  ]

  struct Configuration: Sendable {
    var listen: ListenAddress
    var database: PostgresConfiguration?
    var rpc: RPCSettings
    var vaultKeys: Keyring
    var oauth: ChannelTarget
    var gmailURL: String
    var pace: MailboxPace.Terms
    var maxUnsent: Int
    /// Where strangers reach the edge: the beginning of unsubscribe links.
    var publicURL: String?
    var allowsLoopbackWebhooks: Bool
    var polling = QueueWorker.Polling()
    var shared: SharedState
  }

  static func configure(_ settings: Settings, _ common: CommonSettings) -> Configuration {
    let database = settings.database(of: name)
    let units = settings.integer("EMAILMCP_GMAIL_UNITS_PER_MINUTE", default: 6000, in: 100...1_000_000_000)
    let project = settings.integer(
      "EMAILMCP_GMAIL_PROJECT_UNITS_PER_MINUTE", default: 1_200_000, in: 100...1_000_000_000)
    let publicURL = settings.optionalHTTPURL("EMAILMCP_PUBLIC_URL")?.description
    if let publicURL, publicURL.utf8.count > UnsubscribeLinks.maximumPublicURL {
      settings.fail("EMAILMCP_PUBLIC_URL", "is longer than \(UnsubscribeLinks.maximumPublicURL) bytes")
    }
    return Configuration(
      listen: common.listen, database: database, rpc: RPCSettings(settings, of: name),
      vaultKeys: settings.keyring("EMAILMCP_VAULT_KEYS"),
      oauth: settings.target("EMAILMCP_OAUTH_TARGET", default: "dns:///localhost:7001"),
      gmailURL: settings.httpOrigin("EMAILMCP_GMAIL_API_URL", default: "https://gmail.googleapis.com"),
      pace: MailboxPace.Terms(
        unitsPerMinute: units,
        dailyRecipients: settings.integer(
          "EMAILMCP_GMAIL_DAILY_RECIPIENTS", default: 2000, in: MessageLimits.recipients...1_000_000_000)),
      maxUnsent: settings.integer("EMAILMCP_MAX_UNSENT_PER_TENANT", default: 100_000, in: 1...100_000_000),
      publicURL: publicURL,
      allowsLoopbackWebhooks: settings.toggle("EMAILMCP_WEBHOOK_LOOPBACK", default: false),
      shared: SharedState(projectUnitsPerMinute: project))
  }

  static func start(on loop: ServiceLoop, _ configuration: Configuration) async throws -> any ServiceGraph {
    let graph = try MailerGraph(loop, configuration)
    try await graph.start(on: loop)
    return graph
  }
}

/// What runs on one loop: database, Gmail, the queue's worker, the RPC server.
final class MailerGraph: ServiceGraph {
  private let configuration: MailerService.Configuration
  private let reactor: Reactor
  /// Searches of the log at one time on a loop; more wait a moment and are then refused.
  private static let concurrentSearches = 4

  private let pool: PostgresPool
  private let searchPool: PostgresPool
  private let http: HTTPSClient
  private let channel: RPCChannel
  private let worker: QueueWorker
  private let courier: Courier
  private let server: RPCServer
  private let watch: ConnectionWatch?
  private let upkeep: Upkeep?
  private let quota: ProjectQuota?
  private let webhooks: WebhookWorker?
  private let bell: QueueBell
  private var listener: PostgresListener?

  init(_ loop: ServiceLoop, _ configuration: MailerService.Configuration) throws {
    guard let database = configuration.database else { preconditionFailure("the settings were checked") }
    self.configuration = configuration
    reactor = loop.reactor
    let (reactor, shared, logger) = (loop.reactor, configuration.shared, loop.logger)
    pool = PostgresPool(database, reactor: reactor, logger: logger)
    var searches = database
    searches.exclusiveConnections = Self.concurrentSearches
    searchPool = PostgresPool(searches, reactor: reactor, logger: logger)
    http = try HTTPSClient(reactor: reactor)
    channel = try loop.makeChannel(to: .oauth, at: configuration.oauth, configuration.rpc)
    let store = MailStore(pool: pool, searches: searchPool, reactor: reactor, pace: configuration.pace)
    let signer = ContextSigner(keys: configuration.rpc.contextKeys, issuer: MailerService.name)
    let tokens = TokenSource(reactor: reactor, channel: channel, signer: signer, cache: shared.tokens)
    let seal = PayloadSeal(keys: configuration.vaultKeys)
    let metrics = MailerMetrics()
    let gmail = GmailClient(http: http, origin: configuration.gmailURL, tracer: loop.tracer)
    courier = Courier(
      reactor: reactor, store: store, gmail: gmail, tokens: tokens, seal: seal, shared: shared, metrics: metrics,
      logger: logger)
    // The process for people who read the queue; in containers that is often the same number everywhere.
    let workerName = "mailer-\(getpid())-\(UInt32.random(in: 0 ... .max))-\(loop.index)"
    worker = QueueWorker(
      reactor: reactor, store: store, courier: courier, seal: seal, pause: shared.pause, name: workerName,
      polling: configuration.polling, looksForLost: loop.isFirst, room: PayloadRoom(reactor: reactor), logger: logger)
    bell = QueueBell(reactor: reactor, pool: pool)
    worker.onCrowded = { [bell] in bell.ring() }
    let unsent = UnsentLimit(reactor: reactor, store: store, limit: configuration.maxUnsent)
    let links = UnsubscribeLinks(keys: configuration.vaultKeys, publicURL: configuration.publicURL)
    let sender = MessageSender(
      reactor: reactor, store: store, tokens: tokens, courier: courier, worker: worker, seal: seal, shared: shared,
      unsent: unsent, links: links, name: workerName, logger: logger)
    server = loop.makeRPCServer(
      configuration.rpc, services: [Mailer.service], configuration: Self.serverConfiguration)
    server.register(
      MailerMethods(
        reactor: reactor, store: store, sender: sender,
        watches: MessageWatches(reactor: reactor, store: store), metrics: metrics, links: links,
        webhooks: WebhookAdministration(
          pool: pool, seal: ColumnSeal(configuration.vaultKeys),
          allowsLoopback: configuration.allowsLoopbackWebhooks), project: shared.pause.terms))
    if loop.isFirst {
      let worker = worker
      watch = ConnectionWatch(
        reactor: reactor, channel: channel, signer: signer, cache: shared.tokens, logger: logger,
        started: { if let count = try? await store.lookAgain(connected: true), count > 0 { worker.hint() } }
      ) { user in
        if let count = try? await store.unpark(user), count > 0 { worker.hint() }
      }
      quota = ProjectQuota(reactor: reactor, store: store, pause: shared.pause, logger: logger)
      upkeep = Upkeep(reactor: reactor, store: store, metrics: metrics, logger: logger)
      webhooks = WebhookWorker(
        reactor: reactor, store: WebhookStore(pool: pool),
        sender: WebhookSender(
          http: http, names: WebhookNames(reactor), seal: ColumnSeal(configuration.vaultKeys),
          allowsLoopback: configuration.allowsLoopbackWebhooks), logger: logger)
    } else {
      watch = nil
      upkeep = nil
      quota = nil
      webhooks = nil
    }
  }

  private static var serverConfiguration: ServerConfiguration {
    var configuration = ServerConfiguration()
    // One edge may have this many mails on their way over one connection.
    configuration.maxConcurrentStreams = 1024
    // Two of the largest mails beside many small ones; an edge brings them all over one connection.
    configuration.requests.maxBufferedBytes = 128 * 1024 * 1024
    configuration.requests.maxBufferedBytesPerConnection = 128 * 1024 * 1024
    return configuration
  }

  func start(on loop: ServiceLoop) async throws {
    pool.warmUp()
    try await server.listen(on: configuration.listen.description, tls: configuration.rpc.identity.serverContext)
    loop.check(pool)
    loop.check(.oauth, through: channel)
    worker.start()
    if loop.isFirst { listener = bell.listen { [worker] in worker.hint() } }
    watch?.start()
    upkeep?.start()
    quota?.start()
    webhooks?.start()
  }

  /// New calls are refused first; those in hand and the mails that are leaving are finished; then everything closes.
  func drain(within limit: Duration) async {
    let deadline = Instant.current() + limit
    await listener?.close()
    await watch?.stop()
    await upkeep?.stop()
    await quota?.stop()
    await webhooks?.stop()
    let draining = reactor.spawn { [server] in await server.drain(within: limit) }
    await worker.stop()
    _ = await draining.result
    await courier.waitUntilIdle(atMost: max(.zero, deadline - .current()))
    channel.close()
    http.close()
    await searchPool.close()
    await pool.close()
  }
}
