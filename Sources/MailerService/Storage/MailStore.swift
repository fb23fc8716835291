import CivilTime
import EventLoop
import MailSyntax
import PostgresClient
import StrictJSON

/// The mailer's steps in the database, each one trip and one transaction. On one loop.
final class MailStore {
  let pool: PostgresPool
  /// For what callers search in the log: it takes no connection from the work on the queue, however slow it is.
  let searches: PostgresPool
  let pace: MailboxPace.Terms
  /// This machine's clock. The queue goes by the database's, and the two may be far apart: what is a wait here is told as
  /// the same wait there.
  private let now: () -> Timestamp
  let acceptances: Batches<Acceptance, Accepted>
  let intents: Batches<Leased, SendAttempt.Intent>
  let outcomes: Batches<(leased: Leased, outcome: Outcome), Bool>
  /// Of mail whose sender waits: it does not wait for the queue's.
  let awaitedOutcomes: Batches<(leased: Leased, outcome: Outcome), Bool>

  init(
    pool: PostgresPool, searches: PostgresPool, reactor: Reactor, pace: MailboxPace.Terms,
    now: @escaping () -> Timestamp = { .now() }
  ) {
    self.now = now
    self.pool = pool
    self.searches = searches
    self.pace = pace
    acceptances = Batches(reactor: reactor, size: { $0.payload?.whole?.count ?? 0 }) {
      try await Self.accept($0, pool, pace)
    }
    intents = Batches(reactor: reactor) { try await Self.recordIntents($0, pool) }
    outcomes = Batches(reactor: reactor) { try await Self.record($0, pool) }
    awaitedOutcomes = Batches(reactor: reactor) { try await Self.record($0, pool) }
  }

  // MARK: Accepting

  struct Acceptance: Sendable {
    var key: MailKey
    var account: MailAccount
    var message: OutgoingMessage
    var credentialID: String
    var policy: SendAttempt.AmbiguityPolicy
    var isAwaited: Bool
    /// In turn with other bulk mail; interactive mail goes before it.
    var isBulk = false
    var idempotency: Idempotency?
    /// May be left out for mail that hopes to go at once.
    var payload: StoredPayload?
    /// Who would send it at once; nil to queue it.
    var worker: String?
  }

  struct Idempotency: Sendable {
    var keyHash: [UInt8]
    var fingerprint: [UInt8]
  }

  enum Accepted: Sendable, Equatable {
    /// Leased to the caller with its intent recorded.
    case sending(epoch: Int64)
    case queued
    /// Nothing was kept: the mailbox is busy and no payload was given.
    case busy
    /// Nothing was kept: the account is not what the caller thinks.
    case accountChanged
    /// Nothing was kept: the idempotency key is taken.
    case duplicate
    /// Nothing was kept: a recipient is on the tenant's suppression list.
    case suppressed
    /// Nothing was kept: the tenant is disabled.
    case tenantDisabled
  }

  /// Mails of a tenant that are not final, counted no further than `limit`.
  func unsent(tenantID: String, limit: Int) async throws -> Int {
    try await pool.queryApart(
      "SELECT emailmcp.count_unsent($1, $2)", [.text(tenantID), .int4(Int32(clamping: limit))]
    ).only()[0]
  }

  /// The account as the database has it, for when nobody can give a token.
  func account(tenantID: String, userID: String) async throws -> (status: String, account: MailAccount)? {
    let rows = try await pool.query(
      """
      SELECT status, google_sub, grant_version, email_address FROM user_email_accounts
      WHERE tenant_id = $1 AND user_id = $2 AND provider = 'gmail_api'
      """, [.text(tenantID), .text(userID)], tenant: tenantID)
    guard let row = rows.first else { return nil }
    let address = try MailAddress(row.column(3, as: String.self))
    return (try row[0], MailAccount(googleSub: try row[1], grantVersion: try row[2], address: address))
  }

  // MARK: Leased mail

  /// False when the lease is no longer the caller's; likewise below.
  func renewLease(_ key: MailKey, epoch: Int64) async throws -> Bool {
    try await pool.query(
      "SELECT emailmcp.renew_lease($1, $2, $3, $4, make_interval(secs => $5))",
      [.text(key.tenantID), .text(key.userID), .uuid(key.id), .int8(epoch), .seconds(Lease.duration)],
      tenant: key.tenantID
    ).only()[0]
  }

  /// A mail in the hands of whoever has this epoch.
  struct Leased: Sendable {
    var key: MailKey
    var googleSub: String
    var epoch: Int64
  }

  struct Outcome: Sendable {
    var outcome: SendOutcome
    var at: Timestamp
    var attempts: Int
    var recipients: [String]
    /// What the log does not know yet of what led here.
    var story = DeliveryStory()
  }

  /// Ends a mail that nobody was told of, with its idempotency key.
  func takeBack(_ leased: Leased, _ idempotency: Idempotency?) async throws -> Bool {
    let (error, now) = (SendError.notAccepted, Timestamp.now())
    let entry = TimelineText.json([.init("outcome", error.code)], at: now)
    return try await pool.query(
      "SELECT emailmcp.take_back($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
      leased.key.parameters + [
        .int8(leased.epoch), .text(leased.googleSub), .text(error.code), .text(error.message), .timestamp(now),
        .json(entry), .bytes(idempotency?.keyHash),
      ]
    ).only()[0]
  }

  func requeue(
    _ requeue: SendAttempt.Requeue, of key: MailKey, epoch: Int64, googleSub: String, attempts: Int,
    payload: StoredPayload?, story: DeliveryStory = DeliveryStory()
  ) async throws -> Bool {
    let isParked = [.reauthRequired, .unreadable, .tenantDisabled].contains(requeue.reason)
    let error = requeue.reason == .reauthRequired ? SendError.reauthRequired : nil
    let detail = requeue.reason == .drained ? "given back" : requeue.reason.rawValue
    let now = now()
    let entry = TimelineText.json(story.ending("refused", detail), at: now)
    let parameters =
      key.parameters + [
        .int8(epoch), .text(googleSub), .timestamp(requeue.at), .int4(Int32(attempts)),
        .text(isParked || requeue.pausesMailbox ? requeue.reason.rawValue : nil), .text(error?.code),
        .text(error?.message), .bytes(payload?.whole), .timestamp(requeue.pausesMailbox ? requeue.at : nil),
        .bool(requeue.reason == .ambiguous), .json(entry), .timestamp(requeue.failingSince), .timestamp(now),
      ]
    let statement: Statement = """
      SELECT emailmcp.requeue_job(
        $1, $2, $3, $4, $5, $6, $7 + (clock_timestamp() - $17), $8, $9, $10, $11, coalesce(lo_get($18::oid), $12),
        $13 + (clock_timestamp() - $17), $14, $15, $16 + (clock_timestamp() - $17)),
        lo_unlink($18::oid)
      """
    guard case .large(let payload) = payload else {
      return try await pool.query(statement, parameters + [.int8(nil)]).only()[0]
    }
    return try await Self.withLarge(payload, pool) {
      try await $0.commit(statement, parameters + [.int8($1)]).only()[0]
    }
  }

  // MARK: The queue

  struct ClaimedMail: Sendable {
    var key: MailKey
    var googleSub: String
    var attempts: Int
    var ambiguousTries: Int
    var policy: SendAttempt.AmbiguityPolicy
    var epoch: Int64
    var hasIntent: Bool
    /// Sealed; nil when it is large (see `payload(of:)`), or was never stored.
    var payload: [UInt8]?
    var payloadBytes: Int
    /// The first of the failures in a row until now, by this machine's clock.
    var failingSince: Timestamp?
    /// The one of its user's mails that looks whether the account is back.
    var looksForAccount = false
  }

  /// What a look at the queue leased, and when that was by the database's clock.
  struct Look: Sendable {
    var at: Timestamp
    var mails: [ClaimedMail]
  }

  /// Leases due mail, at most one a mailbox, tenants taking turns.
  /// - Parameter lapsed: when, also what another worker's lease has lapsed of.
  func claim(worker: String, limit: Int, lapsed: Range<Timestamp>?) async throws -> Look {
    try await Self.look(
      pool.query(
        """
        SELECT tenant_id, user_id, id, mailbox, attempts, on_ambiguous, epoch, intent, payload,
          coalesce(payload_bytes, 0), failing_since + ($9 - moment), ambiguous_tries, parked = 'reauth_required', moment
        FROM clock_timestamp() AS moment LEFT JOIN emailmcp.claim_jobs(
          $1, $2, make_interval(secs => $3), $4, $5, $6, p_lapsed => coalesce(moment >= $7 AND moment < $8, false)) ON true
        """,
        [
          .text(worker), .int4(Int32(limit)), .seconds(Lease.duration), .seconds(pace.interval),
          .int4(Int32(pace.burst)), .int4(pace.dailyRecipients), .timestamp(lapsed?.lowerBound),
          .timestamp(lapsed?.upperBound), .timestamp(now()),
        ]))
  }

  /// Leases mail whose worker died with it, and of which nothing but that can be said: at whatever pace.
  /// - Parameter lapsed: when it may be leased.
  func claimLost(worker: String, limit: Int, lapsed: Range<Timestamp>?) async throws -> Look {
    try await Self.look(
      pool.query(
        """
        SELECT tenant_id, user_id, id, mailbox, attempts, on_ambiguous, epoch, intent, NULL::bytea, 0,
          failing_since + ($6 - moment), ambiguous_tries, false, moment
        FROM clock_timestamp() AS moment LEFT JOIN emailmcp.claim_lost(
          $1, CASE WHEN moment >= $4 AND moment < $5 THEN $2 ELSE 0 END, make_interval(secs => $3)) ON true
        """,
        [
          .text(worker), .int4(Int32(limit)), .seconds(Lease.duration), .timestamp(lapsed?.lowerBound),
          .timestamp(lapsed?.upperBound), .timestamp(now()),
        ]))
  }

  /// One row at least, which without a mail has the time alone.
  private static func look(_ rows: PostgresRows) throws -> Look {
    guard let first = rows.first else { throw PostgresError(.decoding, "an answer without a time") }
    return Look(at: try first[13], mails: try rows.compactMap(claimed))
  }

  private static func claimed(_ row: PostgresRow) throws -> ClaimedMail? {
    guard let id: UniqueID = try row[2] else { return nil }
    return ClaimedMail(
      key: MailKey(tenantID: try row[0], userID: try row[1], id: id), googleSub: try row[3],
      attempts: try row[4], ambiguousTries: try row[11],
      policy: try SendAttempt.AmbiguityPolicy(rawValue: row[5]) ?? .hold, epoch: try row[6],
      hasIntent: try row[7], payload: try row[8], payloadBytes: try row[9], failingSince: try row[10],
      looksForAccount: try row.column(12, as: Bool?.self) ?? false)
  }

  /// A large payload, read in pieces; sealed. Nil when it is gone.
  /// - Parameter count: its size.
  func payload(of key: MailKey, count: Int) async throws -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let rows = try await pool.query(
        """
        SELECT substring(payload FROM $4 FOR $5) FROM send_jobs
        WHERE tenant_id = $1 AND user_id = $2 AND id = $3 AND octet_length(payload) = $6
        """,
        [
          .text(key.tenantID), .text(key.userID), .uuid(key.id), .int4(Int32(bytes.count + 1)),
          .int4(Int32(PayloadSeal.pieceSize)), .int4(Int32(count)),
        ], tenant: key.tenantID)
      guard let row = rows.first else { return nil }
      bytes.append(contentsOf: try row.column(0, as: [UInt8].self))
    }
    return bytes
  }

  /// Lends a transaction in which a large payload stands as a large object, brought there piece by piece: as a parameter
  /// it would be in memory three times more. The last statement reads it by `lo_get` and takes it away by `lo_unlink`.
  static func withLarge<Value>(
    _ payload: LargePayload, _ pool: PostgresPool, _ body: (PostgresTransaction, Int64) async throws -> Value
  ) async throws -> Value {
    try await pool.transaction { transaction in
      let object: Int64 = try await transaction.query("SELECT lo_create(0)::bigint").only()[0]
      var offset = 0
      try await payload.forEachPiece { piece in
        try await transaction.query(
          "SELECT lo_put($1::oid, $2, $3)", [.int8(object), .int(offset), .bytes(piece)])
        offset += piece.count
      }
      return try await body(transaction, object)
    }
  }

  func cancel(_ key: MailKey) async throws -> String {
    let entry = TimelineText.json([.init("cancelled")], at: .now())
    return try await pool.query(
      "SELECT emailmcp.cancel_message($1, $2, $3, $4, $5)", key.parameters + [.json(entry)]
    ).only()[0]
  }

  /// Lets mail go that waited for this user's account.
  func unpark(_ user: UserKey) async throws -> Int {
    try await pool.query("SELECT emailmcp.unpark_jobs($1, $2)", [.text(user.tenantID), .text(user.userID)]).only()[0]
  }

  /// Users whose mail is asked in one go to look whether their account is back.
  static let mostLooks: Int32 = 1000

  /// Has one mail of each user look whether the account is back: of those whose account is connected, or of those whose
  /// mails all wait for another one to look.
  func lookAgain(connected: Bool) async throws -> Int {
    let users = try await pool.query(
      "SELECT tenant_id, user_id FROM emailmcp.parked_users($1, $2)", [.bool(connected), .int4(Self.mostLooks)],
      timeout: .seconds(20))
    // A transaction each, so that no two locks of mailboxes are held.
    for row in users {
      let (tenant, user): (String, String) = (try row[0], try row[1])
      try await pool.query("SELECT emailmcp.look_again($1, $2)", [.text(tenant), .text(user)])
    }
    return users.count
  }

  // MARK: Upkeep

  struct QueueFigures: Sendable {
    var depth: Int
    var oldestAge: Double
  }

  func queueFigures() async throws -> QueueFigures {
    let row = try await pool.queryApart(
      "SELECT due + scheduled + parked + leased, coalesce(oldest_age_seconds, 0) FROM emailmcp.queue_figures()"
    ).only()
    return QueueFigures(depth: try row[0], oldestAge: try row[1])
  }

  /// Makes the mail of dead workers claimable.
  func wakeLapsed() async throws { try await pool.queryApart("SELECT emailmcp.wake_lapsed()", timeout: .seconds(20)) }

  func foldTotals() async throws { try await pool.queryApart("SELECT emailmcp.fold_totals()", timeout: .seconds(20)) }

  /// What once a minute is often enough for.
  func tidy() async throws {
    try await pool.queryApart("SELECT emailmcp.repair_wakes()", timeout: .seconds(20))
    _ = try await lookAgain(connected: false)
    try await pool.repeatApart("SELECT emailmcp.purge_expired($1)", timeout: .seconds(20))
    try await pool.queryApart("SELECT emailmcp.ensure_email_log_partitions()", timeout: .seconds(20))
  }
}
