import CivilTime
import TestSupport
import Testing

@testable import PostgresClient

/// The functions of the send queue: one job a mailbox, leases with epochs, nothing lost between them.
@Suite struct QueueTests {
  private static let claim: Statement = """
    SELECT id, user_id, epoch, intent FROM emailmcp.claim_jobs('w', $1::int, make_interval(secs => $2), 0.0001, 10, 1000000)
    """

  /// Adds due jobs as accepting does; user n has mailbox "sub n".
  private static func enqueue(_ pool: PostgresPool, users: Range<Int>, each: Int) async throws {
    _ = try await pool.batch(
      tenant: "a",
      [
        (
          """
          INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, run_at, payload)
          SELECT 'a', 'user' || u, gen_random_uuid(), now(), 'sub' || u, now(), 'x'
          FROM generate_series($1::int, $2::int) u, generate_series(1, $3::int)
          """, [.int(users.lowerBound), .int(users.upperBound - 1), .int(each)]
        ),
        ("SELECT emailmcp.wake_mailboxes(array_agg(mailbox), array_agg(run_at)) FROM send_jobs", []),
      ])
  }

  @Test("concurrent workers drain every mailbox one job at a time, each job once")
  func drain() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("a")
    try await database.withPool { pool in
      try await Self.enqueue(pool, users: 0..<20, each: 10)
      let counts = try await withThrowingTaskGroup(of: [UniqueID].self) { group in
        nonisolated(unsafe) let pool = pool  // children stay on the loop
        for _ in 0..<4 {
          group.addTask {
            var done: [UniqueID] = []
            var idle = 0
            while idle < 20 {
              let jobs = try await pool.query(Self.claim, [.int(5), .double(60)])
              idle = jobs.isEmpty ? idle + 1 : 0
              #expect(Set(try jobs.map { try $0.column(1, as: String.self) }).count == jobs.count)
              for job in jobs {
                let id: UniqueID = try job[0]
                let user: String = try job[1]
                let results = try await pool.batch(
                  tenant: "a",
                  [
                    (
                      "DELETE FROM send_jobs WHERE tenant_id = 'a' AND user_id = $1 AND id = $2 AND epoch = $3",
                      [.text(user), .uuid(id), .int8(try job[2])]
                    ),
                    (
                      "SELECT emailmcp.release_mailboxes(ARRAY['sub' || substr($1, 5)], ARRAY[$2::uuid], ARRAY['-infinity'::timestamptz], ARRAY[NULL], ARRAY[0])",
                      [.text(user), .uuid(id)]
                    ),
                  ])
                #expect(results[0].affected == 1)
                done.append(id)
              }
            }
            return done
          }
        }
        return try await group.reduce(into: [UniqueID: Int]()) { for id in $1 { $0[id, default: 0] += 1 } }
      }
      #expect(counts.count == 200)
      #expect(counts.values.allSatisfy { $0 == 1 })
      let awake: Int = try await pool.query("SELECT count(*) FROM mailboxes WHERE wake_at IS NOT NULL").only()[0]
      #expect(awake == 0)
    }
  }

  @Test(
    "a lapsed lease is claimed again with the next epoch, its intent as it was left, and the old epoch writes nothing")
  func lapse() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("a")
    try await database.withPool { pool in
      try await Self.enqueue(pool, users: 0..<1, each: 2)
      let first = try await pool.query(Self.claim, [.int(5), .double(0)]).only()
      let id: UniqueID = try first[0]
      #expect(try first[2] == 1)
      try await pool.query(
        """
        UPDATE send_jobs SET intent = true, intent_at = now(), on_ambiguous = 'retry' WHERE id = $1 AND epoch = 1
        """, [.uuid(id)], tenant: "a")
      let second = try await pool.query(Self.claim, [.int(5), .double(60)]).only()
      #expect(try second[0] == id)
      #expect(try second[2] == 2)
      #expect(try second[3] == true)
      let late = try await pool.query(
        "DELETE FROM send_jobs WHERE id = $1 AND epoch = 1", [.uuid(id)], tenant: "a")
      #expect(late.affected == 0)
      #expect(try await pool.query(Self.claim, [.int(5), .double(60)]).isEmpty)  // the mailbox is in flight
    }
  }

  @Test("a mailbox is taken at once when it is free, and not when it is busy, paced or has older interactive mail")
  func acquire() async throws {
    let database = try await PostgresFixture.database()
    try await database.withPool { pool in
      let acquire: Statement = """
        SELECT cardinality(emailmcp.acquire_mailboxes(ARRAY[$1], ARRAY[$2::uuid], ARRAY[1], interval '60 s', $3, 0, 1000)) = 1
        """
      let release: Statement = """
        SELECT emailmcp.release_mailboxes(
          ARRAY['s'], ARRAY[$1::uuid], ARRAY['-infinity'::timestamptz], ARRAY[NULL], ARRAY[0])
        """
      let one = UniqueID(high: 0, low: 1)
      let two = UniqueID(high: 0, low: 2)
      func acquired(_ job: UniqueID, _ interval: Double) async throws -> Bool {
        try await pool.query(acquire, ["s", .uuid(job), .double(interval)]).only()[0]
      }
      #expect(try await acquired(one, 1e-6))
      #expect(try await !acquired(two, 1e-6))  // busy
      try await pool.query(release, [.uuid(one)])
      try await pool.query("SELECT emailmcp.wake_mailboxes(ARRAY['s'], ARRAY[now() - interval '1 s'])", tenant: "a")
      try await pool.query("UPDATE mailboxes SET urgent_at = now() - interval '1 s'")
      #expect(try await !acquired(two, 1e-6))  // older interactive mail waits
      try await pool.query("UPDATE mailboxes SET urgent_at = NULL")
      #expect(try await acquired(two, 3600))  // bulk mail is no hindrance
      try await pool.query(release, [.uuid(one)])  // not the holder: nothing
      #expect(try await !acquired(one, 1e-6))
      try await pool.query(release, [.uuid(two)])
      #expect(try await !acquired(one, 1e-6))  // paced for an hour
    }
  }

  @Test("a wake that got lost is repaired from the queue")
  func repair() async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("a")
    try await database.withPool { pool in
      try await Self.enqueue(pool, users: 0..<3, each: 1)
      try await pool.query("UPDATE mailboxes SET wake_at = NULL, urgent_at = NULL")
      #expect(try await pool.query(Self.claim, [.int(5), .double(60)]).isEmpty)
      #expect(try await pool.query("SELECT emailmcp.repair_wakes()").only()[0] == 3)
      #expect(try await pool.query(Self.claim, [.int(5), .double(60)]).count == 3)
      #expect(try await pool.query("SELECT leased FROM emailmcp.queue_figures()").only()[0] == 3)
    }
  }

  @Test("tokens are granted up to the burst and not one more, of a bucket alone and of one among many")
  func tokens() async throws {
    let database = try await PostgresFixture.database()
    try await database.withPool { pool in
      let one: Statement = "SELECT granted, retry_after FROM emailmcp.take_tokens('k', $1, $2::int, $3::int)"
      let many: Statement = """
        SELECT granted, retry_after FROM emailmcp.take_tokens(
          current_setting('emailmcp.tenant_id'), $1, $2::int, ARRAY['j', 'k', 'l'], ARRAY[1, $3::int, 1]) WHERE key = 'k'
        """
      func granted(_ take: Statement, _ want: Int, of tenant: String) async throws -> Int {
        try await pool.query(take, [.double(0.001), .int(20), .int(want)], tenant: tenant).only()[0]
      }
      for (tenant, first, second) in [("a", one, many), ("b", many, one), ("c", many, many)] {
        let grants = [
          try await granted(first, 15, of: tenant), try await granted(second, 15, of: tenant),
          try await granted(first, 1, of: tenant), try await granted(second, 1, of: tenant),
        ]
        #expect(grants == [15, 5, 0, 0])
        for take in [first, second] {
          let wait: Double = try await pool.query(take, [.double(0.001), .int(20), .int(1)], tenant: tenant).only()[1]
          #expect(wait > 900 && wait <= 1000)
        }
      }
      // A bucket fills again, and no further than its burst.
      try await pool.query("UPDATE rate_limits SET tat = now() - interval '1 day' WHERE key = 'k'", tenant: "c")
      #expect(try await granted(many, 20, of: "c") == 20)
      #expect(try await granted(many, 1, of: "c") == 0)
    }
  }

  @Test("deltas that are folded while others are appended add up exactly")
  func fold() async throws {
    let database = try await PostgresFixture.database()
    try await database.withPool { pool in
      try await withThrowingTaskGroup(of: Void.self) { group in
        nonisolated(unsafe) let pool = pool
        for number in 0..<300 {
          group.addTask {
            if number % 10 == 0 {
              try await pool.query("SELECT emailmcp.fold_totals(7)")
            } else {
              try await pool.query(
                "INSERT INTO platform_total_deltas (tenant_id, bucket, success) VALUES ('a', to_timestamp(900), 1)",
                tenant: "a")
            }
          }
        }
        try await group.waitForAll()
      }
      let total: Int = try await pool.query(
        """
        SELECT (coalesce((SELECT sum(success) FROM platform_totals), 0)
          + coalesce((SELECT sum(success) FROM platform_total_deltas), 0))::int8
        """, tenant: "a"
      ).only()[0]
      #expect(total == 270)
      try await pool.query("SELECT emailmcp.fold_totals()")
      let buckets: Int = try await pool.query(
        "SELECT success FROM platform_totals_15m WHERE bucket = to_timestamp(900)", tenant: "a"
      ).only()[0]
      #expect(buckets == 270)
    }
  }

  @Test("a month that gets its partition late takes its rows from the default one")
  func partitions() async throws {
    let database = try await PostgresFixture.database()
    try await database.withPool { pool in
      try await pool.query(
        """
        INSERT INTO email_logs (tenant_id, user_id, created_at, id, from_email, status)
        VALUES ('a', 'u', '2031-05-17', gen_random_uuid(), 'x@y', 'queued')
        """, tenant: "a")
      let made: Int = try await pool.query("SELECT emailmcp.ensure_email_log_partitions('2031-05-01', 1)").only()[0]
      #expect(made == 2)
      let place: String = try await pool.query(
        "SELECT tableoid::regclass::text FROM email_logs WHERE created_at = '2031-05-17'", tenant: "a"
      ).only()[0]
      #expect(place == "email_logs_2031_05")
      let again: Int = try await pool.query("SELECT emailmcp.ensure_email_log_partitions('2031-05-01', 1)").only()[0]
      #expect(again == 0)
    }
  }
}
