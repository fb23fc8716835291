import CivilTime
import EventLoop
import TestSupport
import Testing

@testable import PostgresClient

@Suite struct PoolTests {
  @Test("every parameter type comes back as it went")
  func roundTrip() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let id = UniqueID(high: 0x0193_514e_7a3b_7c01, low: 0x8000_0123_4567_89ab)
      let time = Timestamp(microseconds: 1_795_000_000_123_456)
      let rows = try await pool.query(
        """
        SELECT $1::text, $2, $3, $4::int2, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14, $15, $16::date, $17::text
        """,
        [
          "grüße", .int(-5), .int4(7), .int4(-2), true, .double(1.5), .uuid(id), .timestamp(time), .bytes([0, 255]),
          .bytes([]), .text(#"{"a": 1}"#), .textArray(["x", "", "ü"]), .int8Array([1, -1]), .uuidArray([id]),
          .textArray([]), .date(CivilDate(year: 2026, month: 11, day: 22)), nil,
        ])
      let row = try rows.only()
      #expect(try row[0] == "grüße")
      #expect(try row[1] == Int64(-5))
      #expect(try row[2] == 7)
      #expect(try row[3] == -2)
      #expect(try row[4] == true)
      #expect(try row[5] == 1.5)
      #expect(try row[6] == id)
      #expect(try row[7] == time)
      #expect(try row.column(8, as: [UInt8].self) == [0, 255])
      #expect(try row.column(9, as: [UInt8].self) == [])
      #expect(try row[10] == #"{"a": 1}"#)
      #expect(try row.column(11, as: PostgresArray<String>.self).values == ["x", "", "ü"])
      #expect(try row.column(12, as: PostgresArray<Int64>.self).values == [1, -1])
      #expect(try row.column(13, as: PostgresArray<UniqueID>.self).values == [id])
      #expect(try row.column(14, as: PostgresArray<String>.self).values == [])
      #expect(try row[15] == CivilDate(year: 2026, month: 11, day: 22))
      #expect(try row.column(16, as: String?.self) == nil)
    }
  }

  @Test("infinity is the distant future, and back")
  func infinity() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let row = try await pool.query(
        "SELECT $1::timestamptz = 'infinity', '-infinity'::timestamptz", [.timestamp(Timestamp(microseconds: .max))]
      ).only()
      #expect(try row[0] == true)
      #expect(try row[1] == Timestamp(microseconds: .min))
    }
  }

  @Test("a cell of another type, a null and a missing column are errors, not crashes")
  func decodingErrors() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let row = try await pool.query("SELECT 1.5::numeric, NULL::text").only()
      #expect(throws: PostgresError.self) { try row.column(0, as: Int.self) }
      #expect(throws: PostgresError.self) { try row.column(1, as: String.self) }
      #expect(throws: PostgresError.self) { try row.column(2, as: String.self) }
      let none = await failure { try await pool.query("SELECT 1 WHERE false").only() }
      #expect(none?.code == .decoding)
    }
  }

  @Test("an error carries its SQLSTATE and leaves the connection usable")
  func errors() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let division = await failure { try await pool.query("SELECT 1/$1::int", [.int4(0)]) }
      #expect(division?.code.rawValue == "22012")
      let syntax = await failure { try await pool.query("SELEKT 1") }
      #expect(syntax?.code.rawValue == "42601")
      let again = await failure { try await pool.query("SELEKT 1") }
      #expect(again?.code.rawValue == "42601")
      let zero = await failure { try await pool.query("SELECT $1::text", ["a\u{0}b"]) }
      #expect(zero?.code == .invalidParameterValue)
      let seven: Int = try await pool.query("SELECT 7").only()[0]
      #expect(seven == 7)
    }
  }

  @Test("a thousand concurrent callers share two connections and each gets its own answer")
  func pipelining() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      let sum = try await withThrowingTaskGroup(of: Int.self) { group in
        nonisolated(unsafe) let pool = pool  // children stay on the loop
        for number in 0..<1000 {
          group.addTask { try await pool.query("SELECT $1::int8", [.int(number)]).only()[0] }
        }
        return try await group.reduce(0, +)
      }
      #expect(sum == 999 * 1000 / 2)
      let sessions: Int = try await pool.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
      ).only()[0]
      #expect(sessions <= 2)
    }
  }

  @Test("a slow statement apart holds up none in the shared lane, and sees its tenant's rows")
  func apart() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      let slow = pool.reactor.spawn { _ = try await pool.queryApart("SELECT pg_sleep(60)") }
      let sleepers =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
      while try await pool.query(Statement(composed: sleepers)).only()[0] == 0 {}
      #expect(try await pool.query("SELECT 7").only()[0] == 7)
      slow.cancel()
      _ = await slow.result
      let tenant: String = try await pool.queryApart(
        "SELECT current_setting('emailmcp.tenant_id')", tenant: "acme"
      ).only()[0]
      #expect(tenant == "acme")
      let error = await failure { try await pool.queryApart("SELECT pg_sleep(60)", timeout: .milliseconds(50)) }
      #expect(error?.code == .timeout)
      #expect(try await pool.queryApart("SELECT 8").only()[0] == 8)
    }
  }

  @Test("the failure of one pipelined statement is its caller's alone")
  func pipelinedFailure() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      try await pool.query("CREATE TABLE t (n int PRIMARY KEY)")
      let outcomes = try await withThrowingTaskGroup(of: Bool.self) { group in
        nonisolated(unsafe) let pool = pool
        for number in 0..<100 {
          group.addTask {
            do {
              try await pool.query("INSERT INTO t VALUES ($1)", [.int4(Int32(number % 50))])
              return true
            } catch let error as PostgresError where error.code == .uniqueViolation {
              return false
            }
          }
        }
        return try await group.reduce(into: [Bool: Int]()) { $0[$1, default: 0] += 1 }
      }
      #expect(outcomes == [true: 50, false: 50])
      #expect(try await pool.query("SELECT count(*) FROM t").only()[0] == 50)
    }
  }

  @Test("a transaction that fails as it commits fails its caller, at once, and nobody else")
  func failureOfCommit() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner, { $0.sharedConnections = 1 }) { pool in
      try await pool.query("CREATE TABLE a (n int PRIMARY KEY)")
      try await pool.query("CREATE TABLE b (n int REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
      for _ in 0..<2 {
        let error = await failure { try await pool.query("INSERT INTO b VALUES (1)") }
        #expect(error?.code.rawValue == "23503")
      }
      let codes = try await withThrowingTaskGroup(of: PostgresError.Code?.self) { group in
        nonisolated(unsafe) let pool = pool
        for number in 0..<100 {
          group.addTask {
            await failure { try await pool.query(number % 2 == 0 ? "INSERT INTO b VALUES (1)" : "SELECT 1") }?.code
          }
        }
        return try await group.reduce(into: [PostgresError.Code?]()) { $0.append($1) }
      }
      #expect(codes.count { $0?.rawValue == "23503" } == 50)
      #expect(codes.count { $0 == nil } == 50)
      #expect(try await pool.query("SELECT count(*) FROM b").only()[0] == 0)
    }
  }

  @Test("a batch is one transaction: its last error undoes its first statement")
  func batch() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(as: .owner) { pool in
      try await pool.query("CREATE TABLE t (n int)")
      let results = try await pool.batch([
        ("INSERT INTO t VALUES (1), (2)", []), ("SELECT sum(n)::int8 FROM t", []),
      ])
      #expect(results[0].affected == 2)
      #expect(try results[1].only()[0] == 3)
      let error = await failure {
        try await pool.batch([("INSERT INTO t VALUES (3)", []), ("SELECT 1/0", [])])
      }
      #expect(error?.code.rawValue == "22012")
      #expect(try await pool.query("SELECT count(*) FROM t").only()[0] == 2)
    }
  }

  @Test("statement after statement past the pool's bounds is refused at once, not queued without end")
  func bounds() async throws {
    let database = try await PostgresFixture.database(migrated: false)
    try await database.withPool(
      as: .owner,
      {
        $0.sharedConnections = 1
        $0.maxPipelineDepth = 1
        $0.maxWaiting = 3
        $0.acquireTimeout = .seconds(20)
        $0.queryTimeout = .seconds(20)
      }
    ) { pool in
      let codes = try await withThrowingTaskGroup(of: PostgresError.Code?.self) { group in
        nonisolated(unsafe) let pool = pool
        for _ in 0..<10 {
          group.addTask { await failure { try await pool.query("SELECT 1") }?.code }
        }
        return try await group.reduce(into: [PostgresError.Code?]()) { $0.append($1) }
      }
      #expect(codes.count { $0 == .poolExhausted } == 7)
      #expect(codes.count { $0 == nil } == 3)
    }
  }
}

/// The error that `body` throws.
func failure<T>(_ body: () async throws -> T) async -> PostgresError? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? PostgresError
  }
}
