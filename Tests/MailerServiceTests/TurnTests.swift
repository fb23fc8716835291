import CivilTime
import EventLoop
import Foundation
import PostgresClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Whose turn it is")
struct TurnTests {
  @Test("The class of a mail: as its sender says, else by who waits for it")
  func classes() {
    #expect(!SendClass.isBulk(asked: nil, isAwaited: true, isOfBatch: false))
    #expect(SendClass.isBulk(asked: nil, isAwaited: false, isOfBatch: false))
    #expect(SendClass.isBulk(asked: nil, isAwaited: true, isOfBatch: true))
    #expect(!SendClass.isBulk(asked: false, isAwaited: false, isOfBatch: true))
    #expect(SendClass.isBulk(asked: true, isAwaited: true, isOfBatch: false))
    for isBulk in [true, false] {
      for isAwaited in [true, false] {
        let value = SendClass(isBulk: isBulk, isAwaited: isAwaited).rawValue
        #expect((value % 2 != 0) == isBulk && (value <= 0) == isAwaited)
      }
    }
  }

  @Test("Mail that nobody waits for is bulk, unless its sender says that it is not")
  func stored() async throws {
    try await MailerHarness.run { harness in
      let later = ProtobufTimestamp(.now() + .seconds(3600))
      for priority in [Mailer.Priority.unspecified, .interactive, .bulk] {
        _ = try await harness.send {
          $0.sendAt = later
          $0.priority = priority
        }
      }
      #expect(try harness.value("SELECT string_agg(class::text, ' ' ORDER BY id) FROM send_jobs") == "1 2 1")
    }
  }

  @Test("A mail that somebody waits for passes its own mailbox's bulk backlog, and goes at once")
  func passesOwnBacklog() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { number, _ in number == 1 ? .held : .success }
      for _ in 0..<20 { _ = try await harness.send { $0.wait = ProtobufDuration(.zero) } }
      try await harness.gmail.nextHeld()
      let urgent = harness.reactor.spawn { try await harness.send { $0.subject = "urgent" } }
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "21" })
      harness.gmail.release()
      #expect(try await urgent.value.status == .success)
      let place = harness.gmail.requests.firstIndex {
        MailBase64Judge.decoded($0.body).contains("Subject: urgent")
      }
      // Second, or a place later where the bulk mail's turn was taken already.
      #expect(try #require(place) <= 3)
    }
  }

  @Test("A user whose account must be connected again costs one look; all his mail goes when one has got through")
  func parkedUser() async throws {
    try await MailerHarness.run { harness in
      let later = ProtobufTimestamp(.now() + .seconds(3600))
      for _ in 0..<6 { _ = try await harness.send { $0.sendAt = later } }
      #expect(try await harness.loseGrant())
      try harness.makeDue()
      #expect(
        try await harness.eventually {
          try harness.value(
            "SELECT count(*) FILTER (WHERE run_at = 'infinity') || ' ' || count(*) FROM send_jobs WHERE parked IS NOT NULL"
          )
            == "5 6"
        })
      #expect(try harness.value("SELECT urgent_at IS NULL AND wake_at > now() FROM mailboxes") == "t")
      // Nobody announces it: the mail that looks finds the account back.
      harness.oauth.answer = .token
      _ = try harness.value(
        "UPDATE send_jobs SET run_at = now() WHERE run_at < 'infinity'; UPDATE mailboxes SET wake_at = now()")
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "0" })
      #expect(harness.gmail.requests.count == 6)
    }
  }

  /// A user's mails, all of which wait for the account, one of them looking.
  private static func park(_ harness: MailerHarness, mails: Int = 3) async throws {
    let later = ProtobufTimestamp(.now() + .seconds(3600))
    for _ in 0..<mails { _ = try await harness.send { $0.sendAt = later } }
    #expect(try await harness.loseGrant())
    try harness.makeDue()
    let parked = try await harness.eventually {
      try harness.value("SELECT count(*) FILTER (WHERE run_at = 'infinity') FROM send_jobs WHERE parked IS NOT NULL")
        == "\(mails - 1)"
    }
    #expect(parked)
    harness.oauth.answer = .token
  }

  private static func allLeave(_ harness: MailerHarness) async throws {
    let isEmpty = try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "0" }
    #expect(isEmpty)
  }

  @Test("The mail that looks whether the account is back is cancelled: another one looks")
  func cancelledProbe() async throws {
    try await MailerHarness.run { harness in
      try await Self.park(harness)
      let probe = try #require(try harness.value("SELECT id FROM send_jobs WHERE run_at < 'infinity'"))
      _ = try await harness.call(Mailer.cancelMessage, Mailer.CancelMessageRequest { $0.id = probe })
      #expect(try harness.value("SELECT min(run_at) FROM send_jobs") == "infinity")
      try await harness.withStore { try await $0.tidy() }
      try await Self.allLeave(harness)
      #expect(harness.gmail.requests.count == 2)
    }
  }

  @Test("The mail that looks finds nobody who gives tokens: it goes on looking, and frees the others in the end")
  func probeWithoutToken() async throws {
    try await MailerHarness.run { harness in
      try await Self.park(harness)
      harness.oauth.answer = .away
      let due = "UPDATE send_jobs SET run_at = now() WHERE run_at < 'infinity'; UPDATE mailboxes SET wake_at = now()"
      try harness.database.execute(due)
      let isBack = try await harness.eventually {
        try harness.value("SELECT count(*) FROM send_jobs WHERE failing_since IS NOT NULL") == "1"
      }
      #expect(isBack)
      harness.oauth.answer = .token
      try harness.database.execute(due)
      try await Self.allLeave(harness)
    }
  }

  @Test("A consent that nobody told of is found when the connections are watched again")
  func missedConsent() async throws {
    try await MailerHarness.run { harness in
      try await Self.park(harness)
      await harness.stopMailer()
      try await harness.startMailer()
      try await Self.allLeave(harness)
    }
  }

  @Test(
    "Too fast for Gmail: the mailbox's share is cut once for refusals that come together, and shared by all mailers")
  func cutShare() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { number, _ in number < 3 ? .status(429, reason: "userRateLimitExceeded") : .success }
      let mail = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(try await harness.eventually { try await harness.get(mail.id).status == .success })
      #expect(harness.gmail.requests.count == 3)
      #expect(try harness.value("SELECT share FROM mailboxes") == "0.7")
    }
  }

  @Test("The database's arithmetic of shares is that of the value")
  func sameArithmetic() async throws {
    let database = try await PostgresFixture.database()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<100 {
      let share = Double.random(in: 0.001...1.2, using: &random)
      let age = [0, 5, 9.999, 10, 30, 599, 600, 601].randomElement(using: &random)!
      var value = PaceShare(share: share, since: .zero)
      let now: Duration = .seconds(age)
      let row = try #require(
        try database.execute(
          """
          SELECT emailmcp.pace_share(\(share), 'epoch', m), emailmcp.cut_share(\(share), 'epoch', m)
          FROM (SELECT 'epoch'::timestamptz + interval '\(age) s' AS m) AS t
          """
        ).first)
      #expect(abs(try #require(row[0].flatMap(Double.init)) - value.value(at: now)) < 1e-9)
      value.refused(at: now)
      #expect(abs(try #require(row[1].flatMap(Double.init)) - value.share) < 1e-9)
    }
  }

  @Test("The database's pace of a mailbox is that of the value, after any history", arguments: [6000, 60_000, 200])
  func samePace(unitsPerMinute: Int) async throws {
    let terms = MailboxPace.Terms(unitsPerMinute: unitsPerMinute)
    let origin = Timestamp(seconds: 0)
    try await PostgresFixture.database().withPool { pool in
      var random = SeededRandom(spread: UInt64(unitsPerMinute))
      for _ in 0..<20 {
        // A mailbox's first request is acquire_mailboxes'.
        var pace = PacedMailbox()
        var now = origin + .seconds(1_000_000)
        #expect(pace.take(at: now - origin, terms) == .go)
        var credit = terms.burst
        var paceUntil = now + terms.interval
        var nextFree = credit > 0 ? nil : Optional(paceUntil)
        for _ in 0..<40 {
          // Bursts, a load about as fast as the pace, and rests.
          now = now + .microseconds(random.below([100, 2_000_000, 40_000_000][random.below(3)]))
          let isFree = nextFree.map { $0 <= now } ?? true
          guard pace.take(at: now - origin, terms) == .go else {
            #expect(!isFree && pace.nextFree == paceUntil - origin)
            continue
          }
          let row = try await pool.query(
            """
            SELECT credit, CASE WHEN next_free_at > '-infinity' THEN next_free_at END, pace_until
            FROM emailmcp.paced_turn($1, $2, 1, '-infinity', $3, $4, $5)
            """,
            [
              .timestamp(paceUntil), .int4(Int32(credit)), .timestamp(now), .seconds(terms.interval),
              .int4(Int32(terms.burst)),
            ]
          ).only()
          (credit, nextFree, paceUntil) = (try row[0], try row[1], try row[2])
          #expect(isFree && credit == pace.credit && pace.nextFree == paceUntil - origin)
        }
      }
    }
  }

  @Test("A share: cut once within the hold, never to nothing, whole again in time")
  func share() {
    var share = PaceShare()
    #expect(share.value(at: .zero) == 1)
    share.refused(at: .seconds(100))
    #expect(share.value(at: .seconds(100)) == 0.7)
    share.refused(at: .seconds(109.9))
    #expect(share.share == 0.7)
    share.refused(at: .seconds(110))
    #expect(share.share < 0.52 && share.value(at: .seconds(170)) > share.share + 0.09)
    for second in 2...200 { share.refused(at: .seconds(100 * second / 2)) }
    #expect(share.value(at: .seconds(10_000)) >= PaceShare.least)
    #expect(share.value(at: .seconds(10_601)) == 1)
  }
}

@Suite("A long queue", .serialized)
struct LongQueueTests {
  /// Bulk mails, all of them due: one in `share` mailboxes is of the tenant `small`, the rest of `big`.
  private static func fill(_ database: TestDatabase, mails: Int, mailboxes: Int = 1000, share: Int = 500) throws {
    try database.createTenant("big")
    try database.createTenant("small")
    try database.execute(insert(mails: mails, mailboxes: mailboxes, share: share))
  }

  private static func insert(mails: Int, mailboxes: Int = 1000, share: Int = 500) -> String {
    """
    INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
    SELECT CASE WHEN n % \(share) = 0 THEN 'small' ELSE 'big' END, 'u' || n % \(mailboxes),
      ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now(), 'box' || n % \(mailboxes), 1,
      now() - interval '1 hour' + n * interval '10 ms', 'x'
    FROM generate_series(1, \(mails)) AS n;
    SELECT emailmcp.repair_wakes();
    """
  }

  /// Pages that one claim of 32 touches, once its plans are made.
  private static func pages(_ harness: MailerHarness) throws -> Int {
    let rows = try harness.database.execute(
      """
      SELECT count(*) FROM emailmcp.claim_jobs('warm', 32, interval '15 s', 0.001, 0, 1000000);
      EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT, TIMING OFF)
      SELECT * FROM emailmcp.claim_jobs('judge', 32, interval '15 s', 0.001, 0, 1000000)
      """)
    let line = try #require(rows.compactMap { $0.first ?? nil }.first { $0.contains("Buffers: shared") })
    return line.split(separator: " ").compactMap { word in
      ["hit=", "read="].contains { word.hasPrefix($0) } ? Int(word.split(separator: "=")[1]) : nil
    }.reduce(0, +)
  }

  @Test(
    "A claim from 50,000 mails touches hardly more pages than one from 1,000, whatever the statistics say",
    arguments: ["", uncommitted, allParked])
  func cost(before: String) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 1000)
      let short = try Self.pages(harness)
      try harness.database.execute("TRUNCATE send_jobs, mailboxes")
      try harness.database.execute(before)
      try Self.fill(harness.database, mails: 50_000)
      let long = try Self.pages(harness)
      #expect(long <= short * 2, "\(long) pages, \(short) with a short queue")
    }
  }

  /// How many mailboxes a claim of 32 reads, where pages are so dear that to read all of them once seems cheaper; one that is
  /// read twice counts twice.
  private static func mailboxesRead(_ harness: MailerHarness) throws -> Int {
    let rows = try harness.database.execute(
      """
      SET random_page_cost = 100;
      SELECT count(*) FROM emailmcp.claim_jobs('judge', 32, interval '15 s', 0.001, 0, 1000000);
      SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'mailboxes'
      """)
    return try #require(rows.last?.first.flatMap { $0 }.flatMap { Int($0) })
  }

  @Test("A claim among 2,000 mailboxes reads hardly more of them than one among 200")
  func mailboxes() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 1000, mailboxes: 200, share: 2)
      let few = try Self.mailboxesRead(harness)
      try harness.database.execute("TRUNCATE send_jobs, mailboxes")
      try Self.fill(harness.database, mails: 10_000, mailboxes: 2000, share: 2)
      try harness.database.execute("ANALYZE send_jobs, mailboxes")
      let many = try Self.mailboxesRead(harness)
      #expect(many <= few * 2, "\(many) read, \(few) among 200")
    }
  }

  /// Statistics gathered while the queue was being filled: many pages, and nothing in them.
  private static let uncommitted = """
    BEGIN;
    \(insert(mails: 50_000))
    ROLLBACK;
    ANALYZE send_jobs, mailboxes
    """

  /// Statistics gathered when nothing was due.
  private static let allParked = """
    \(insert(mails: 1000))
    UPDATE send_jobs SET run_at = 'infinity', parked = 'reauth_required';
    ANALYZE send_jobs, mailboxes;
    TRUNCATE send_jobs, mailboxes
    """

  @Test("Behind 10,000 mails a fresh interactive one is claimed first, and a small tenant has its turn at once")
  func order() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 10_000)
      try harness.database.execute(
        """
        BEGIN;
        SELECT set_config('emailmcp.tenant_id', 'small', true);
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        VALUES ('small', 'eve', '00000000-0000-7000-9000-000000000001', now(), 'box1', 0, clock_timestamp(), 'x'),
          ('small', 'kim', '00000000-0000-7000-9000-000000000002', now(), 'new', 1, clock_timestamp(), 'x');
        SELECT emailmcp.wake_mailboxes(ARRAY['box1', 'new'], ARRAY[clock_timestamp(), clock_timestamp()]);
        COMMIT;
        """)
      try await harness.withStore { store in
        let claimed = try await store.claim(worker: "w", limit: 32, lapsed: true)
        #expect(claimed.count == 32 && Set(claimed.map(\.googleSub)).count == 32)
        #expect(claimed.contains { $0.key.userID == "eve" })
        #expect(claimed.contains { $0.key.userID == "kim" }, "the small tenant waits for the whole of the big one")
        let next = try await store.claim(worker: "w", limit: 32, lapsed: true)
        #expect(next.count == 32 && Set(next.map(\.googleSub)).isDisjoint(with: claimed.map(\.googleSub)))
      }
    }
  }

  @Test("A user with one mail waits for one of each other's of his tenant, not for all that is older")
  func usersTakeTurns() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      // Of each of 100 users twenty mails, all older.
      try harness.database.createTenant("big")
      try harness.database.execute(
        """
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        SELECT 'big', 'u' || n % 100, gen_random_uuid(), now(), 'box' || n % 100, 1, now() - interval '1 hour', 'x'
        FROM generate_series(1, 2000) AS n;
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        VALUES ('big', 'kim', gen_random_uuid(), now(), 'new', 1, now(), 'x');
        SELECT emailmcp.repair_wakes();
        """)
      try await harness.withStore { store in
        var sent: [String] = []
        while !sent.contains("kim"), sent.count < 400 {
          // Upkeep leaves the places in the line as they are.
          if sent.count == 48 { try await store.tidy() }
          for mail in try await store.claim(worker: "w", limit: 8, lapsed: true) {
            sent.append(mail.key.userID)
            let leased = MailStore.Leased(key: mail.key, googleSub: mail.googleSub, epoch: mail.epoch)
            let end = MailStore.Outcome(outcome: .unknown(.outcomeUnknown), at: .now(), attempts: 1, recipients: [])
            #expect(try await store.record(end, of: leased, isAwaited: false))
          }
        }
        #expect(sent.count <= 108, "after \(sent.count) mails of others")
        #expect(Dictionary(grouping: sent) { $0 }.values.allSatisfy { $0.count <= 2 })
      }
    }
  }

  @Test("Interactive mail leaves a ninth of the places to the rest")
  func noStarvation() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 2000)
      try harness.database.execute(
        "UPDATE send_jobs SET class = 0 WHERE mailbox < 'box5'; SELECT emailmcp.repair_wakes()")
      try await harness.withStore { store in
        let claimed = try await store.claim(worker: "w", limit: 32, lapsed: true)
        let bulk = claimed.filter { $0.googleSub >= "box5" }.count
        #expect((1...8).contains(bulk))
      }
    }
  }

  @Test("Many small claims share as a large one does: bulk mail's ninth place, and tenants' turns", arguments: [1, 6])
  func smallClaims(limit: Int) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      let tenants = (1...8).map { "tenant\($0)" }
      for tenant in tenants { try harness.database.createTenant(tenant) }
      // Of each tenant eight mailboxes with interactive and two with bulk mail; the last tenant's is the newest by far.
      try harness.database.execute(
        """
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        SELECT 'tenant' || t, 'u' || b, gen_random_uuid(), now(), 'box' || t || '-' || b, CASE WHEN b > 8 THEN 1 ELSE 0 END,
          now() - CASE WHEN t = 8 THEN interval '1 s' ELSE interval '1 h' END + n * interval '1 ms', 'x'
        FROM generate_series(1, 8) AS t, generate_series(1, 10) AS b, generate_series(1, 5) AS n;
        SELECT emailmcp.repair_wakes();
        """)
      try await harness.withStore { store in
        var interactive: [String] = []
        var bulk: [String] = []
        for _ in 0..<(limit == 1 ? 150 : 25) {
          let claimed = try await store.claim(worker: "w", limit: limit, lapsed: true)
          #expect(claimed.count == limit)
          for mail in claimed {
            let isBulk = mail.googleSub.hasSuffix("-9") || mail.googleSub.hasSuffix("-10")
            if isBulk { bulk.append(mail.key.tenantID) } else { interactive.append(mail.key.tenantID) }
          }
          try Self.giveBack(harness)
        }
        // Each of the pool's sessions counts its own turns.
        #expect((13...17).contains(bulk.count), "\(bulk.count) of 150")
        for tenant in tenants {
          #expect(interactive.prefix(24).contains(tenant), "\(tenant) waits while others have turn after turn")
          #expect((14...20).contains(interactive.count { $0 == tenant }))
          #expect(bulk.contains(tenant), "\(tenant)'s bulk mail waits while others' goes")
        }
      }
    }
  }

  @Test(
    "A mailbox whose interactive mail is for later, or whose user must consent first, has its turns of bulk mail",
    arguments: ["now() + interval '1 day'", "'infinity'"])
  func interactiveLater(at later: String) async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 2000)
      try harness.database.createTenant("third")
      try harness.database.execute(
        """
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        SELECT 'third', 'eve', gen_random_uuid(), now(), 'eve', class, at, 'x'
        FROM (VALUES (1, now()), (2, \(later))) AS mails (class, at);
        SELECT emailmcp.repair_wakes();
        """)
      try Self.claimOne(harness, times: 3)
      let claimed = try harness.database.execute(
        "SELECT tenant_id FROM send_jobs WHERE lease_until IS NOT NULL ORDER BY tenant_id")
      #expect(claimed == [["big"], ["small"], ["third"]])
    }
  }

  @Test("Interactive mail in a mailbox that two tenants share has its own tenant's turn, whoever's bulk waits there")
  func sharedMailbox() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 2000)
      try harness.database.createTenant("third")
      try harness.database.execute(
        """
        UPDATE send_jobs SET class = 0 WHERE mailbox <> 'box999';
        SELECT emailmcp.repair_wakes();
        BEGIN;
        SELECT set_config('emailmcp.tenant_id', 'third', true);
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, class, run_at, payload)
        VALUES ('third', 'eve', gen_random_uuid(), now(), 'box999', 0, clock_timestamp(), 'x');
        SELECT emailmcp.wake_mailboxes(ARRAY['box999'], ARRAY[clock_timestamp()]);
        COMMIT;
        """)
      try Self.claimOne(harness, times: 3)
      #expect(try Self.isClaimed("third", harness))
      // And after a turn of the mailbox, as it is looked at again.
      try Self.giveBack(harness)
      try Self.claimOne(harness, times: 4)
      #expect(try Self.isClaimed("third", harness))
    }
  }

  private static func claimOne(_ harness: MailerHarness, times: Int) throws {
    let claim = "SELECT FROM emailmcp.claim_jobs('w', 1, interval '15 s', 0.001, 0, 1000000);"
    try harness.database.execute(String(repeating: claim, count: times))
  }

  private static func isClaimed(_ tenant: String, _ harness: MailerHarness) throws -> Bool {
    try harness.value("SELECT bool_or(lease_until IS NOT NULL) FROM send_jobs WHERE tenant_id = '\(tenant)'") == "t"
  }

  @Test("Behind others' interactive mail a lapsed lease has its tenant's turn, of a mailbox too that never waited")
  func lapsedTurn() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 2000)
      try harness.database.createTenant("third")
      try harness.database.execute(
        """
        UPDATE send_jobs SET class = 0;
        SELECT emailmcp.repair_wakes();
        INSERT INTO mailboxes (google_sub) VALUES ('eve');
        INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, run_at, payload, epoch, lease_owner, lease_until)
        VALUES ('third', 'eve', gen_random_uuid(), now(), 'eve', now(), 'x', 1, 'gone', now() - interval '1 s');
        SELECT emailmcp.wake_lapsed();
        """)
      try Self.claimOne(harness, times: 3)
      let claimed = try harness.database.execute("SELECT epoch FROM send_jobs WHERE tenant_id = 'third'")
      #expect(claimed == [["2"]])
    }
  }

  /// Gives back to the queue what was claimed, as it was.
  private static func giveBack(_ harness: MailerHarness) throws {
    try harness.database.execute(
      """
      UPDATE send_jobs SET lease_owner = NULL, lease_until = NULL WHERE lease_until IS NOT NULL;
      UPDATE mailboxes
        SET in_flight_job = NULL, in_flight_until = '-infinity', next_free_at = '-infinity',
          (wake_at, urgent_at, wake_tenant) = (
            SELECT t.wake, t.urgent, t.tenant FROM emailmcp.next_turn(google_sub, '-infinity') AS t)
        WHERE in_flight_job IS NOT NULL
      """)
  }

  @Test("A queue of which all is parked costs a claim nothing")
  func parked() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try Self.fill(harness.database, mails: 10_000)
      try harness.database.execute(
        """
        UPDATE send_jobs SET run_at = 'infinity', parked = 'reauth_required';
        UPDATE mailboxes SET wake_at = 'infinity'
        """)
      try harness.database.execute("VACUUM mailboxes")
      #expect(try Self.pages(harness) < 100)
    }
  }
}

/// The mail inside a request's JSON.
enum MailBase64Judge {
  static func decoded(_ body: [UInt8]) -> String {
    let json = (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any]
    var text = (json?["raw"] as? String ?? "").replacingOccurrences(of: "-", with: "+")
      .replacingOccurrences(of: "_", with: "/")
    while text.utf8.count % 4 != 0 { text += "=" }
    return String(decoding: Data(base64Encoded: text) ?? Data(), as: UTF8.self)
  }
}
