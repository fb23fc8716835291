import EventLoop
import TestSupport
import Testing

@testable import PostgresClient

@Suite struct TransactionTests {
  @Test("a transaction commits when its closure returns and rolls back when it throws")
  func commitAndRollback() async throws {
    struct Refused: Error {}
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      try await pool.query("CREATE TABLE t (n int)")
      try await pool.transaction { tx in
        try await tx.query("INSERT INTO t VALUES (1)")
        try await tx.query("INSERT INTO t VALUES (2)")
      }
      await #expect(throws: Refused.self) {
        try await pool.transaction { tx in
          try await tx.query("INSERT INTO t VALUES (3)")
          throw Refused()
        }
      }
      try await pool.transaction { tx in
        try await tx.query("INSERT INTO t VALUES (4)")
        try await tx.commit("INSERT INTO t VALUES (5)")
      }
      _ = try await pool.transaction { tx in try await tx.commit("INSERT INTO t VALUES (6)") }
      let rows = try await pool.query("SELECT n FROM t ORDER BY n")
      #expect(try rows.map { try $0.column(0, as: Int.self) } == [1, 2, 4, 5, 6])
    }
  }

  @Test("an error that the closure swallows still rolls the transaction back, and says so")
  func swallowedError() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      try await pool.query("CREATE TABLE t (n int)")
      let error = await failure {
        try await pool.transaction { tx in
          try await tx.query("INSERT INTO t VALUES (1)")
          _ = try? await tx.query("SELECT 1/0")
        }
      }
      #expect(error?.code.rawValue == "22012")
      #expect(try await pool.query("SELECT count(*) FROM t").only()[0] == 0)
    }
  }

  @Test("a tenant is set for its transaction and for nothing after it")
  func tenant() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.exclusiveConnections = 1
      }
    ) { pool in
      let read: Statement = "SELECT nullif(current_setting('emailmcp.tenant_id', true), '')"
      #expect(try await pool.query(read, tenant: "a").only()[0] == "a")
      #expect(try await pool.query(read).only().column(0, as: String?.self) == nil)
      let inside = try await pool.transaction(tenant: "b") { tx in
        try await tx.query("SELECT 1")
        return try await tx.query(read).only().column(0, as: String.self)
      }
      #expect(inside == "b")
      let after = try await pool.transaction { tx in try await tx.query(read).only().column(0, as: String?.self) }
      #expect(after == nil)
    }
  }

  @Test("more transactions than connections wait their turn")
  func queueing() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.exclusiveConnections = 3 }) { pool in
      try await pool.query("CREATE TABLE t (n int)")
      try await withThrowingTaskGroup(of: Void.self) { group in
        nonisolated(unsafe) let pool = pool
        for number in 0..<50 {
          group.addTask {
            try await pool.transaction { tx in
              try await tx.query("INSERT INTO t VALUES ($1)", [.int4(Int32(number))])
              try await tx.query("SELECT count(*) FROM t")
            }
          }
        }
        try await group.waitForAll()
      }
      #expect(try await pool.query("SELECT count(*) FROM t").only()[0] == 50)
      let sessions: Int = try await pool.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
      ).only()[0]
      #expect(sessions <= 5)
    }
  }

  @Test("a caller that waits too long for a connection gets a time-out")
  func acquireTimeout() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.exclusiveConnections = 1
        $0.acquireTimeout = .seconds(3)
      }
    ) { pool in
      try await pool.transaction { tx in
        try await tx.query("SELECT 1")
        let error = await failure { try await pool.transaction { tx in try await tx.query("SELECT 1") } }
        #expect(error?.code == .poolTimeout)
      }
      #expect(try await pool.transaction { tx in try await tx.query("SELECT 7").only().column(0, as: Int.self) } == 7)
    }
  }

  @Test("a stream reads all rows in pieces, in order")
  func stream() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let (sum, pieces) = try await pool.transaction(isolation: .repeatableReadReadOnly) { tx in
        var sum = 0
        var pieces = 0
        try await tx.stream("SELECT n FROM generate_series(1, $1::int8) n ORDER BY n", [.int(1234)], rowsPerPiece: 100)
        {
          rows in
          pieces += 1
          #expect(rows.count <= 100)
          for row in rows { sum += try row.column(0, as: Int.self) }
        }
        return (sum, pieces)
      }
      #expect(sum == 1234 * 1235 / 2)
      #expect(pieces == 13)
    }
  }

  @Test("a query past its time is cancelled on the server, and its connection serves again")
  func timeout() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.exclusiveConnections = 1
      }
    ) { pool in
      let shared: Int = try await pool.query("SELECT pg_backend_pid()").only()[0]
      let error = await failure { try await pool.query("SELECT pg_sleep(60)", timeout: .milliseconds(100)) }
      #expect(error?.code == .timeout)
      #expect(error?.mayHaveExecuted == true)
      #expect(try await pool.query("SELECT pg_backend_pid()").only()[0] == shared)
      let inside = await failure {
        try await pool.transaction { tx in
          try await tx.query("SELECT pg_sleep(60)", timeout: .milliseconds(100))
        }
      }
      #expect(inside?.code == .timeout)
      #expect(try await pool.transaction { tx in try await tx.query("SELECT 7").only().column(0, as: Int.self) } == 7)
    }
  }

  @Test("the cancellation of a task cancels its statement, and not its neighbours'")
  func cancellation() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      _ = try await pool.query("SELECT 1")
      nonisolated(unsafe) let unsafePool = pool
      let slow = pool.reactor.spawn { try await unsafePool.query("SELECT pg_sleep(60)").count }
      await pool.reactor.yield()
      try await withThrowingTaskGroup(of: Int.self) { group in
        for number in 0..<20 {
          group.addTask { try await unsafePool.query("SELECT $1::int8", [.int(number)]).only()[0] }
        }
        await pool.reactor.yield()
        slow.cancel()
        let sum = try await group.reduce(0, +)
        #expect(sum == 190)
      }
      await #expect(throws: CancellationError.self) { try await slow.value }
    }
  }

  @Test("a pipelined commit shows the error that came first, not those that follow from it")
  func firstError() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      for statements in [
        [("SELECT 1", []), ("SELECT nothing FROM nowhere", [])],
        [("SELECT nothing FROM nowhere", []), ("SELECT 1", [])],
        [("SELECT 2", []), ("SELECT 3", []), ("SELECT nothing FROM nowhere", [])],
      ] as [[(Statement, [PostgresValue])]] {
        let error = await failure {
          try await pool.transaction { transaction in
            try await transaction.query("SELECT 0")
            _ = try await transaction.commit(statements)
          }
        }
        #expect(error?.code == .undefinedTable)
      }
      let again: Int = try await pool.query("SELECT 1::bigint").only()[0]
      #expect(again == 1)
    }
  }
}
