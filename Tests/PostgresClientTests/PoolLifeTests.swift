import EventLoop
import TestSupport
import Testing

@testable import PostgresClient

/// What a pool holds: no place is lost by a session that ends, fails or grows old, nor by a caller who leaves.
@Suite struct PoolLifeTests {
  private static let sessionID: Statement = "SELECT pg_backend_pid()"

  private func pid(_ pool: PostgresPool) async throws -> Int {
    try await pool.transaction { try await $0.query(Self.sessionID).only().column(0, as: Int.self) }
  }

  @Test("callers who come while the server lets nobody in are served when it does", arguments: ["shared", "exclusive"])
  func failedOpens(lane: String) async throws {
    let (database, admin) = (
      try await PostgresFixture.database(migrated: false), try await PostgresFixture.database(migrated: false)
    )
    @Sendable func admit(_ isOpen: Bool) throws {
      try admin.execute("ALTER DATABASE \(database.name) ALLOW_CONNECTIONS \(isOpen)")
    }
    try admit(false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.exclusiveConnections = 1
      }
    ) { pool in
      let caller = pool.reactor.spawn {
        try await lane == "shared" ? pool.query(Self.sessionID).only().column(0, as: Int.self) : pid(pool)
      }
      while pool.lastFailure == nil { await pool.reactor.yield() }
      try admit(true)
      let process = try await caller.value
      #expect(process > 0 && pool.lastFailure == nil)
    }
  }

  @Test("a transaction whose session is terminated leaves its place to the next")
  func terminated() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.exclusiveConnections = 1 }) { pool in
      var seen: Set<Int> = []
      for _ in 0..<3 {
        let isNew = seen.insert(try await pid(pool)).inserted
        #expect(isNew)
        let error = await failure {
          try await pool.transaction { try await $0.query("SELECT pg_terminate_backend(pg_backend_pid())") }
        }
        #expect(error?.isUnavailable == true)
      }
    }
  }

  @Test("a session that a statement has left inside a transaction is lent to nobody")
  func leftOpen() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.exclusiveConnections = 1 }) { pool in
      let first = try await pid(pool)
      try await pool.queryApart("BEGIN")
      let second = try await pid(pool)
      #expect(first != second)
    }
  }

  @Test("transactions past the pool's bounds are refused at once, and those that wait have their turn")
  func transactionBounds() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.exclusiveConnections = 1
        $0.maxWaiting = 3
      }
    ) { pool in
      let codes = try await pool.transaction { held in
        try await held.query("SELECT 1")
        let callers = (0..<5).map { _ in
          pool.reactor.spawn { await failure { try await pool.transaction { try await $0.query("SELECT 1") } }?.code }
        }
        // The last two have been refused by now, and the others wait.
        var codes: [PostgresError.Code?] = []
        for caller in callers[3...] { codes.append(try await caller.value) }
        return (codes, callers[..<3])
      }
      #expect(codes.0 == [.poolExhausted, .poolExhausted])
      for caller in codes.1 { #expect(try await caller.value == nil) }
    }
  }

  @Test("who leaves while he waits for a connection takes none from those behind him")
  func leaving() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.exclusiveConnections = 1 }) { pool in
      let callers = try await pool.transaction { held in
        try await held.query("SELECT 1")
        let callers = (0..<3).map { _ in pool.reactor.spawn { try await pid(pool) > 0 } }
        await pool.reactor.yield()
        callers[0].cancel()
        return callers
      }
      await #expect(throws: CancellationError.self) { try await callers[0].value }
      for caller in callers[1...] { #expect(try await caller.value) }
    }
  }

  @Test("a statement that waits too long for its turn is never sent, and says so")
  func expiredInTheQueue() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try database.execute("CREATE TABLE t (n int)", as: .owner)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.maxPipelineDepth = 1
        $0.acquireTimeout = .milliseconds(300)
      }
    ) { pool in
      pool.warmUp()
      while pool.shared.isEmpty { await pool.reactor.yield() }
      let slow = pool.reactor.spawn { try await pool.query("SELECT pg_sleep(60)").count }
      await pool.reactor.yield()
      let error = await failure { try await pool.query("INSERT INTO t VALUES (1)") }
      #expect(error?.code == .poolTimeout && error?.mayHaveExecuted == false)
      slow.cancel()
      _ = await slow.result
      // What had been sent would be answered by then.
      while await failure({ try await pool.query("SELECT 1") }) != nil {}
    }
    #expect(try database.execute("SELECT count(*) FROM t") == [["0"]])
  }

  @Test("a statement whose caller leaves in the turn in which he came is never sent")
  func leftAtOnce() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try database.execute("CREATE TABLE t (n int)", as: .owner)
    let configuration = try PostgresConfiguration(url: database.url(.owner))
    try await onLoop { reactor in
      let pool = PostgresPool(configuration, reactor: reactor)
      let connection = try await PostgresConnection.open(for: pool)
      defer { connection.close() }
      let exchanges = (1...3).map { number in
        Exchange(
          [Exchange.Command(statement: "INSERT INTO t VALUES ($1)", parameters: [.int4(Int32(number))])], isAtomic: true
        )
      }
      for exchange in exchanges { connection.submit(exchange) }
      connection.abandon(exchanges[1])
      try await reactor.wait { (waiter: Waiter<Void>) in exchanges[2].waiter = waiter }
      #expect(connection.isIdle)
      await pool.close()
    }
    #expect(try database.execute("SELECT n FROM t ORDER BY n") == [["1"], ["3"]])
  }

  @Test("a pool that closes tells all who wait, and all who come later")
  func closing() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.exclusiveConnections = 1
        $0.maxPipelineDepth = 1
      }
    ) { pool in
      try await pool.query("SELECT 1")
      let running = pool.reactor.spawn { await failure { try await pool.query("SELECT pg_sleep(60)") } }
      let queued = pool.reactor.spawn { await failure { try await pool.query("SELECT 1") } }
      let lent = pool.reactor.spawn {
        await failure { try await pool.transaction { try await $0.query("SELECT pg_sleep(60)") } }
      }
      let waiting = pool.reactor.spawn { await failure { try await pid(pool) } }
      // The lent session has begun.
      let sleeping: Statement = """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'
        """
      try await database.withPool(as: .owner) { other in
        while try await other.query(sleeping).only()[0] < 2 {}
      }
      await pool.close()
      let (first, second) = (try await running.value, try await queued.value)
      #expect(first?.code == .connectionLost && first?.mayHaveExecuted == true)
      #expect(second?.code == .poolClosed && second?.mayHaveExecuted == false)
      let (third, fourth) = (try await lent.value, try await waiting.value)
      #expect(third?.code == .connectionLost && fourth?.code == .poolClosed)
      #expect(await failure { try await pool.query("SELECT 1") }?.code == .poolClosed)
      #expect(await failure { try await pid(pool) }?.code == .poolClosed)
    }
  }

  /// As many sessions of each lane as there may be, idle.
  private func fill(_ pool: PostgresPool, exclusive: Int) async throws {
    let callers = (0..<exclusive).map { _ in
      pool.reactor.spawn { try await pool.transaction { try await $0.query("SELECT pg_sleep(0.05)").count } }
    }
    for caller in callers { _ = try await caller.value }
    while pool.idle.count < exclusive { await pool.reactor.yield() }
    _ = try await pool.query("SELECT 1")
  }

  @Test("sessions without work are closed but for the first, and old ones all, at the end of what they are at")
  func maintenance() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    for (idle, lifetime, left) in [
      (Duration.seconds(120), Duration.seconds(3600), 3), (.zero, .seconds(3600), 1), (.seconds(120), .zero, 0),
    ] {
      try await database.withPool(
        as: .owner,
        {
          $0.sharedConnections = 1
          $0.exclusiveConnections = 3
          $0.idleTimeout = idle
          $0.maxLifetime = lifetime
        }
      ) { pool in
        try await fill(pool, exclusive: 3)
        let busy = pool.reactor.spawn {
          try await pool.query("SELECT 7 FROM pg_sleep(0.2)").only().column(0, as: Int.self)
        }
        await pool.reactor.yield()
        let first = try #require(pool.shared.first)
        let process = first.serverProcess
        pool.maintain()
        #expect(pool.idle.count == left)
        #expect(first.state == .ready && first.isRetired == (lifetime == .zero))
        // What comes meanwhile has a session that stays.
        let meanwhile: Int = try await pool.query(Self.sessionID).only()[0]
        #expect((meanwhile == Int(process)) == (lifetime != .zero))
        #expect(try await busy.value == 7)
        #expect((first.state == .closed) == (lifetime == .zero))
        #expect(try await pid(pool) > 0)
      }
    }
  }

  @Test("a statement whose plan a change of the schema has made stale, or that the server has forgotten, is sent again")
  func staleStatements() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      try await pool.query("CREATE TABLE t AS SELECT 1 AS n")
      let read: Statement = "SELECT * FROM t"
      for (change, added) in [("SELECT 1", nil), ("ALTER TABLE t ADD m int DEFAULT 5", 5), ("DEALLOCATE ALL", 5)]
        as [(String, Int?)]
      {
        try await pool.query(Statement(composed: change))
        for _ in 0..<2 {
          let row = try await pool.query(read).only()
          #expect((try? row.column(1, as: Int.self)) == added, "after \(change)")
        }
      }
    }
  }
}
