import CivilTime
import EventLoop
import Foundation
import HTTPSClient
import Logging
import PostgresClient
import RPCRuntime
import ServiceContracts
import ServiceKit
import TLSSession
import TestSupport
import Testing
import WireCodec

@testable import MailerService

/// A whole mailer on a loop: real Postgres, a scripted Gmail, a scripted oauth service, calls over a real socket.
final class MailerHarness {
  let reactor: Reactor
  let gmail: ScriptedGmail
  let oauth: ScriptedOAuth
  let database: TestDatabase
  private let folder: String
  let gmailURL: String
  private let pace: MailboxPace.Terms
  private var mailers: [(graph: any ServiceGraph, channel: RPCChannel)] = []
  static let keys = Keyring(generating: "test")

  private init(
    _ reactor: Reactor, _ database: TestDatabase, folder: String, pace: MailboxPace.Terms
  ) async throws {
    self.reactor = reactor
    self.database = database
    self.folder = folder
    self.pace = pace
    gmail = ScriptedGmail(reactor)
    oauth = ScriptedOAuth(reactor)
    gmailURL = try gmail.start()
    try await oauth.start(path: "\(folder)/oauth")
  }

  /// - Parameter mailers: processes' worth of them, each with state of its own.
  static func run(
    mailers: Int = 1, unitsPerMinute: Int = 60_000_000, dailyRecipients: Int = .max, users: [String] = ["ann"],
    _ body: @escaping @Sendable (MailerHarness) async throws -> Void
  ) async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("acme")
    for user in users {
      try database.execute(
        """
        INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
        VALUES ('acme', '\(user)', '\(user)@example.com', 'sub-\(user)', 'active')
        """)
    }
    let folder = NSTemporaryDirectory() + "mailer-\(UInt32.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await onLoop { reactor in
      let pace = MailboxPace.Terms(unitsPerMinute: unitsPerMinute, dailyRecipients: dailyRecipients)
      let harness = try await MailerHarness(reactor, database, folder: folder, pace: pace)
      for _ in 0..<mailers { try await harness.startMailer() }
      let result: Result<Void, any Error>
      do { result = .success(try await body(harness)) } catch { result = .failure(error) }
      await harness.stop()
      try result.get()
    }
  }

  private func stop() async {
    gmail.release()
    while !mailers.isEmpty { await stopMailer() }
    await oauth.stop()
    gmail.stop()
  }

  func startMailer(polling: QueueWorker.Polling = .init()) async throws {
    let path = "\(folder)/mailer\(mailers.count)"
    let rpc = RPCSettings(identity: .none, contextKeys: Self.keys)
    let configuration = MailerService.Configuration(
      listen: .unix(path: path), database: try PostgresConfiguration(url: database.url()), rpc: rpc,
      vaultKeys: Self.keys, oauth: try ChannelTarget("unix:\(folder)/oauth"), gmailURL: gmailURL,
      pace: pace, maxUnsent: 100, publicURL: "https://mail.acme.example/", allowsLoopbackWebhooks: true,
      polling: polling, shared: SharedState(projectUnitsPerMinute: 1_000_000_000))
    let loop = ServiceLoop(
      reactor: reactor, index: 0, count: 1, logger: Self.logger,
      readiness: Readiness(), metrics: MetricsRegistry())
    let graph = try await MailerService.start(on: loop, configuration)
    mailers.append((graph, RPCChannel(to: try ChannelTarget("unix:\(path)"), on: reactor)))
  }

  /// Drains the newest mailer.
  func stopMailer(within limit: Duration = .seconds(5)) async {
    let (graph, channel) = mailers.removeLast()
    await graph.drain(within: limit)
    channel.close()
  }

  // MARK: Calls

  static func options(
    user: String = "ann", scopes: [String] = ["send", "read"], timeout: Duration = .seconds(30)
  ) -> CallOptions {
    let signer = ContextSigner(keys: keys, issuer: "edge")
    let context = CallContext {
      $0.tenantID = "acme"
      $0.userID = user
      $0.credentialID = "key1"
      $0.scopes = scopes
    }
    return CallOptions(timeout: timeout, metadata: signer.metadata(for: context))
  }

  static func mail(_ change: (inout Mailer.SendMessageRequest) -> Void = { _ in }) -> Mailer.SendMessageRequest {
    Mailer.SendMessageRequest {
      $0.to = [Mailer.Address { $0.email = "Bob@Example.com" }]
      $0.subject = "Hello"
      $0.body = "Hi there"
      change(&$0)
    }
  }

  func send(
    user: String = "ann", mailer: Int = 0, _ change: (inout Mailer.SendMessageRequest) -> Void = { _ in }
  ) async throws -> Mailer.SendMessageResponse {
    try await mailers[mailer].channel.call(
      Mailer.sendMessage, Self.mail(change), options: Self.options(user: user))
  }

  func call<Request, Response>(
    _ method: UnaryMethod<Request, Response>, _ request: Request, user: String = "ann", mailer: Int = 0,
    scopes: [String] = ["send", "read"], timeout: Duration = .seconds(30), adding metadata: Metadata = [:]
  ) async throws -> Response {
    var options = Self.options(user: user, scopes: scopes, timeout: timeout)
    options.metadata.append(contentsOf: metadata)
    return try await mailers[mailer].channel.call(method, request, options: options)
  }

  func stream<Request, Response>(
    _ method: ServerStreamingMethod<Request, Response>, _ request: Request
  ) throws -> ServerStreamingCall<Response> {
    try mailers[0].channel.call(method, request, options: Self.options())
  }

  func batch<Request, Response>(
    _ method: BidirectionalMethod<Request, Response>
  ) throws -> BidirectionalCall<Request, Response> {
    try mailers[0].channel.call(method, options: Self.options())
  }

  func get(_ id: String) async throws -> MessageRecord {
    try #require(
      try await call(Mailer.getMessage, Mailer.GetMessageRequest { $0.id = id }).message)
  }

  /// The reason that a call is refused with.
  func reason(_ body: () async throws -> Void) async -> String? {
    do {
      try await body()
      return nil
    } catch {
      return (error as? RPCError)?.errorInfo?.reason ?? "\(error)"
    }
  }

  /// Looks again until it holds, for at most twenty seconds: for what happens in its own time, such as what a mailer does with
  /// lapsed leases (`HeadStart`).
  func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = Instant.current() + .seconds(20)
    while Instant.current() < deadline {
      if try await condition() { return true }
      try await reactor.sleep(for: .milliseconds(10))
    }
    return false
  }

  /// A value of the database, as its superuser sees it.
  func value(_ sql: String) throws -> String? { try database.execute(sql).first?.first ?? nil }

  /// Kills every worker's lease, as if its process had been gone for longer than that.
  func expireLeases() throws {
    try database.execute(
      """
      UPDATE send_jobs SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL;
      UPDATE mailboxes SET in_flight_until = now() - interval '1 s' WHERE in_flight_job IS NOT NULL
      """)
  }
}

extension MailerHarness {
  /// The user's account must be connected again, and no mailer believes otherwise any more.
  func loseGrant(user: String = "ann") async throws -> Bool {
    oauth.answer = .refusal("reauth_required")
    try await oauth.announce(tenant: "acme", user: user)
    // With a token that is still cached, the sender's address is what is wrong.
    return try await eventually {
      await reason { _ = try await send(user: user) { $0.fromEmail = "other@example.com" } } == "reauth_required"
    }
  }

  /// Makes all that waits due.
  func makeDue() throws {
    try database.execute("UPDATE send_jobs SET run_at = now(); UPDATE mailboxes SET wake_at = now()")
  }

  /// A transaction of the tables' owner.
  func asOwner(_ body: (PostgresTransaction) async throws -> Void) async throws {
    let owner = PostgresPool(try PostgresConfiguration(url: database.url(.owner)), reactor: reactor)
    do {
      try await owner.transaction { try await body($0) }
    } catch {
      await owner.close()
      throw error
    }
    await owner.close()
  }

  func seal(_ payload: MailPayload, of key: MailKey) throws -> StoredPayload {
    try PayloadSeal(keys: Self.keys).seal(payload, of: key)
  }

  /// Runs with a mailbox's row locked by another transaction.
  func holding<Result>(mailbox: String, _ body: () async throws -> Result) async throws -> Result {
    let pool = PostgresPool(try PostgresConfiguration(url: database.url()), reactor: reactor)
    do {
      let result = try await pool.transaction { transaction in
        try await transaction.query("SELECT FROM mailboxes WHERE google_sub = $1 FOR UPDATE", [.text(mailbox)])
        return try await body()
      }
      await pool.close()
      return result
    } catch {
      await pool.close()
      throw error
    }
  }

  /// The store alone, without a mailer around it.
  func withStore(
    now: @escaping () -> Timestamp = { .now() }, _ body: (MailStore) async throws -> Void
  ) async throws {
    let pool = PostgresPool(try PostgresConfiguration(url: database.url()), reactor: reactor)
    do {
      try await body(MailStore(pool: pool, searches: pool, reactor: reactor, pace: pace, now: now))
    } catch {
      await pool.close()
      throw error
    }
    await pool.close()
  }

  /// What carries mail, without a mailer around it: nothing is taken from the queue by itself.
  func withCourier(_ body: (Courier, MailStore, SharedState) async throws -> Void) async throws {
    let shared = SharedState(projectUnitsPerMinute: 1_000_000_000)
    try await withStore { store in
      let http = try HTTPSClient(reactor: reactor)
      let channel = RPCChannel(to: try ChannelTarget("unix:\(folder)/oauth"), on: reactor)
      defer {
        channel.close()
        http.close()
      }
      let courier = Courier(
        reactor: reactor, store: store, gmail: GmailClient(http: http, origin: gmailURL),
        tokens: TokenSource(
          reactor: reactor, channel: channel, signer: ContextSigner(keys: Self.keys, issuer: MailerService.name),
          cache: shared.tokens),
        seal: PayloadSeal(keys: Self.keys), shared: shared, metrics: MailerMetrics(), logger: Self.logger)
      try await body(courier, store, shared)
      await courier.waitUntilIdle(atMost: .seconds(20))
    }
  }

  static var logger: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}

extension MailStore {
  /// A claim that takes lapsed leases at whatever time, or leaves them.
  func claim(worker: String, limit: Int, lapsed: Bool) async throws -> [ClaimedMail] {
    try await claim(worker: worker, limit: limit, lapsed: lapsed ? Self.always : nil).mails
  }

  func claimLost(worker: String, limit: Int) async throws -> [ClaimedMail] {
    try await claimLost(worker: worker, limit: limit, lapsed: Self.always).mails
  }

  private static let always = Timestamp.sayable.lowerBound..<Timestamp.sayable.upperBound
}
