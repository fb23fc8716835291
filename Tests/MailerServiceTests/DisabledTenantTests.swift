import CivilTime
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing

@testable import MailerService

/// Keys were refused, and nothing else: what was in the queue was sent, and webhooks were told.
@Suite("A disabled tenant")
struct DisabledTenantTests {
  private static let jobs = """
    SELECT right(id::text, 1), minutes(run_at), minutes(resume_at), parked FROM send_jobs ORDER BY id
    """
  private static let claim = """
    SELECT right(id::text, 1) FROM emailmcp.claim_jobs('w', 9, interval '15 s', 1, 1, 100) ORDER BY 1
    """
  private static let unsettled = "SELECT tenant_id, disabled_at IS NOT NULL FROM emailmcp.unsettled_tenants()"

  private static func disable(_ tenant: String, _ queue: QueueTables) throws {
    try queue.rows("UPDATE tenants SET disabled_at = now(), held_at = NULL WHERE id = '\(tenant)'")
  }

  /// Holds a page of a tenant's mail; answers with the last mail of it.
  private static func hold(_ queue: QueueTables, after: (String, Int) = ("", 0), limit: Int = 9) throws -> [String] {
    try queue.rows(
      """
      SELECT last_user, right(last_id::text, 1) FROM unnest((SELECT array_agg(disabled_at) FROM emailmcp.unsettled_tenants()
        WHERE tenant_id = 'acme')) AS since, emailmcp.hold_mail('acme', since, '\(after.0)', id(\(after.1)), \(limit))
      """, as: .service)
  }

  @Test("Its queue is held, to each mail its time, and comes back to it; another's mail of the same mailbox goes on")
  func held() async throws {
    let queue = try await QueueTables()
    try queue.mailbox("box", ["wake_at": "at(-60)", "wake_tenant": "'acme'", "waiting": "true"])
    try queue.job(1)
    try queue.job(2, runAt: 600)
    try queue.job(3, ["parked": "'reauth_required'"])
    try queue.rows("UPDATE send_jobs SET run_at = 'infinity' WHERE id = id(3)")
    try queue.job(4, runAt: 5, ["parked": "'daily_limit'", "put_off_at": "at(-9)"])
    try queue.job(5, lease: 9)
    try queue.job(6, tenant: "beta", runAt: -1)
    try Self.disable("acme", queue)
    #expect(try queue.rows(Self.unsettled, as: .service) == ["acme t"])
    #expect(try Self.hold(queue) == ["- -"])
    let held = [
      "1 - -60 tenant_disabled", "2 - 600 tenant_disabled", "3 - 0 tenant_disabled", "4 - 5 tenant_disabled",
      "5 -60 - -", "6 -1 - -",
    ]
    #expect(try queue.rows(Self.jobs) == held)
    #expect(
      try queue.rows("SELECT minutes(wake_at), wake_tenant, waiting FROM mailboxes") == ["-60 beta t"],
      "its lease, and its mail")
    #expect(try queue.rows(Self.unsettled, as: .service) == [], "it is done")
    #expect(try queue.rows("SELECT emailmcp.release_mail('acme', 9)", as: .service) == ["0"], "it is still disabled")
    #expect(try queue.rows(Self.claim, as: .service) == ["6"])
    #expect(try queue.rows(Self.jobs) == held)

    try queue.rows("UPDATE tenants SET disabled_at = NULL, held_at = NULL")
    #expect(try queue.rows(Self.unsettled, as: .service) == ["acme f"])
    #expect(try queue.rows("SELECT emailmcp.release_mail('acme', 2)", as: .service) == ["2"])
    #expect(
      try queue.rows(Self.jobs + " LIMIT 4")
        == ["1 -60 - -", "2 - 600 tenant_disabled", "3 0 - -", "4 - 5 tenant_disabled"])
    #expect(try queue.rows("SELECT emailmcp.release_mail('acme', 9)", as: .service) == ["2"])
    #expect(try queue.rows(Self.jobs + " LIMIT 4") == ["1 -60 - -", "2 600 - -", "3 0 - -", "4 5 - -"])
    #expect(try queue.rows(Self.unsettled, as: .service) == [])
  }

  @Test("A mailbox with nothing but held mail has no place in any line, and gets it back")
  func mailboxes() async throws {
    let queue = try await QueueTables()
    let due = ["wake_at": "at(-60)", "urgent_at": "at(-60)", "wake_tenant": "'acme'", "waiting": "true"]
    try queue.mailbox("box", due)
    try queue.mailbox("shared", due)
    try queue.job(1)
    try queue.job(2, in: "shared")
    try queue.job(3, in: "shared", tenant: "beta", runAt: -1, ["class": "1"])
    try Self.disable("acme", queue)
    _ = try Self.hold(queue)
    let mailboxes = "SELECT google_sub, minutes(wake_at), minutes(urgent_at), wake_tenant FROM mailboxes ORDER BY 1"
    #expect(try queue.rows(mailboxes) == ["box - - acme", "shared -1 - beta"])
    #expect(try queue.rows("SELECT emailmcp.repair_wakes()", as: .service) == ["0"])
    try queue.rows("UPDATE tenants SET disabled_at = NULL")
    try queue.rows("SELECT emailmcp.release_mail('acme', 9)", as: .service)
    #expect(try queue.rows(mailboxes) == ["box -60 -60 acme", "shared -60 -60 acme"])
  }

  @Test("It is held page by page, and by nobody who began before it was enabled and disabled again")
  func pages() async throws {
    let queue = try await QueueTables()
    for number in 1...5 { try queue.job(number, user: "u\(number)") }
    try Self.disable("acme", queue)
    #expect(try Self.hold(queue, limit: 2) == ["u2 2"])
    #expect(try Self.hold(queue, after: ("u2", 2), limit: 2) == ["u4 4"])
    #expect(try queue.rows("SELECT count(*) FROM send_jobs WHERE resume_at IS NOT NULL") == ["4"])
    #expect(
      try queue.rows("SELECT * FROM emailmcp.hold_mail('acme', now() - interval '1 s', 'u4', id(4), 2)", as: .service)
        == ["- -"])
    #expect(try queue.rows("SELECT count(*) FROM send_jobs WHERE resume_at IS NOT NULL") == ["4"])
    #expect(try Self.hold(queue, after: ("u4", 4), limit: 2) == ["- -"])
    #expect(try queue.rows("SELECT count(*) FROM send_jobs WHERE resume_at IS NOT NULL") == ["5"])
    #expect(try queue.rows(Self.unsettled, as: .service) == [])
  }

  @Test("No request begins, what a worker had in hand is held, and nothing is accepted", arguments: [0, 1])
  func inHand(ambiguous: Int) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try await harness.withStore { store in
        let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
        let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
        try await harness.abandon(key, hasIntent: ambiguous > 0, policy: .retry)
        if ambiguous > 0 {
          try harness.expireLeases()
          try await store.wakeLapsed()
          #expect(try await store.claim(worker: "w", limit: 1, lapsed: true).map(\.epoch) == [2])
        }
        let epoch = Int64(1 + ambiguous)
        let leased = MailStore.Leased(key: key, googleSub: "sub-ann", epoch: epoch)
        try harness.database.execute("UPDATE tenants SET disabled_at = now()")
        #expect(try await store.recordIntent(leased) == .disabled)
        let requeue = SendAttempt.Requeue(
          reason: .tenantDisabled, at: .now(), isFailure: false, pausesMailbox: false, failingSince: nil)
        #expect(
          try await store.requeue(
            requeue, of: key, epoch: epoch, googleSub: "sub-ann", attempts: ambiguous, payload: nil))
        #expect(
          try harness.value(
            """
            SELECT concat_ws(' ', run_at, resume_at <= now(), parked, intent, lease_until, ambiguous_tries, l.status,
              m.in_flight_job)
            FROM send_jobs s JOIN email_logs l USING (tenant_id, user_id, id) JOIN mailboxes m ON google_sub = mailbox
            """) == "infinity t tenant_disabled f \(ambiguous) queued")
        try await store.settleTenants()
        try harness.database.execute("UPDATE tenants SET disabled_at = NULL, held_at = NULL")
        #expect(try await store.claim(worker: "w", limit: 1, lapsed: true).isEmpty)
        try await store.settleTenants()
        #expect(try await store.claim(worker: "w", limit: 1, lapsed: true).map(\.epoch) == [epoch + 1])
      }
    }
  }

  @Test("Who disables it waits for what goes by its being enabled, until that is committed")
  func order() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      func mayDisable() async throws -> Bool {
        var result = false
        try await harness.asOwner {
          result = try await $0.query("SELECT pg_try_advisory_xact_lock(emailmcp.tenant_lock('acme'))").only()[0]
        }
        return result
      }
      try await harness.withStore { store in
        try await store.pool.transaction(tenant: "acme") { transaction in
          let maySend: Bool = try await transaction.query("SELECT emailmcp.may_send('acme')").only()[0]
          let mayDisableNow = try await mayDisable()
          #expect(maySend && !mayDisableNow)
        }
        #expect(try await mayDisable())
      }
    }
  }

  @Test("Mail of it is refused by name; what waits stays, and goes when it is enabled")
  func whole() async throws {
    try await MailerHarness.run { harness in
      let waiting = try await harness.send { $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600)) }
      let keyed = try await harness.send { $0.idempotencyKey = "k" }
      try harness.database.execute("UPDATE tenants SET disabled_at = now()")
      #expect(await harness.reason { _ = try await harness.send() } == "tenant_disabled")
      #expect(
        await harness.reason { _ = try await harness.send { $0.wait = ProtobufDuration(.zero) } } == "tenant_disabled")
      #expect(try await harness.send { $0.idempotencyKey = "k" }.id == keyed.id, "an answer that was given stands")
      #expect(
        try await harness.eventually {
          try harness.value("SELECT count(*) FROM send_jobs WHERE parked = 'tenant_disabled'") == "1"
        })
      #expect(try await harness.get(waiting.id).status == .scheduled)
      try harness.database.execute(
        "UPDATE send_jobs SET resume_at = now(); UPDATE tenants SET disabled_at = NULL, held_at = NULL")
      #expect(try await harness.eventually { try await harness.get(waiting.id).status == .success })
      #expect(harness.gmail.requests.count == 2)
    }
  }

  @Test("Its webhooks wait")
  func webhooks() async throws {
    let queue = try await QueueTables()
    for tenant in ["acme", "beta"] {
      try queue.rows(
        """
        INSERT INTO webhook_endpoints (tenant_id, id, url, secret_sealed)
          VALUES ('\(tenant)', 'we_0123456789abcdef', 'https://a.example/', 'x');
        INSERT INTO webhook_deliveries (tenant_id, endpoint_id, id, subject, type, payload)
          VALUES ('\(tenant)', 'we_0123456789abcdef', 'e', 's', 't', '{}')
        """)
    }
    try Self.disable("acme", queue)
    let claim = "SELECT tenant_id FROM emailmcp.claim_webhooks(8, 16, 64, interval '60 s', '{}', '{}', '{}')"
    #expect(try queue.rows(claim, as: .service) == ["beta"])
    try queue.rows("UPDATE tenants SET disabled_at = NULL")
    #expect(try queue.rows(claim, as: .service) == ["acme"])
  }
}
