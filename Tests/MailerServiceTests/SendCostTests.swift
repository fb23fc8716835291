import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

/// What a mail costs the database, in what is counted and not timed: the figures hold on any machine. A change that makes
/// them fall should lower the thresholds; one that makes them rise must say why.
@Suite("The cost of a send")
struct SendCostTests {
  private static let mails = 80

  /// The database's own counts since its beginning; complete when every session has ended.
  private struct Counts {
    /// Calls of functions, those within functions included.
    var calls: [String: Int]
    var rowsWritten: Int
    var tablesReadThrough: Int

    init(_ harness: MailerHarness) throws {
      let functions = try harness.database.execute("SELECT funcname, calls FROM pg_stat_user_functions")
      calls = functions.reduce(into: [:]) { $0[$1[0]!, default: 0] += Int($1[1]!)! }
      let tables = try harness.database.execute(
        """
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del),
          sum(seq_scan) FILTER (WHERE relname LIKE 'email_logs%' OR relname = 'user_email_accounts')
        FROM pg_stat_user_tables
        """)
      rowsWritten = Int(tables[0][0]!)!
      tablesReadThrough = Int(tables[0][1]!)!
    }
  }

  /// Sends mails one by one with a mailer of its own, and answers what each cost on average.
  private static func cost(
    _ harness: MailerHarness, users: [String], _ change: @escaping (inout Mailer.SendMessageRequest) -> Void
  ) async throws -> (calls: [String: Int], rows: Double, scans: Int) {
    func send(_ count: Int) async throws -> Counts {
      try await harness.startMailer()
      for number in 0..<count { _ = try await harness.send(user: users[number % users.count], change) }
      let isOver = try await harness.eventually {
        try harness.value("SELECT count(*) FROM email_logs WHERE status <> 'success'") == "0"
      }
      #expect(isOver)
      await harness.stopMailer()
      let haveEnded = try await harness.eventually {
        try harness.value(
          "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == "0"
      }
      #expect(haveEnded)
      return try Counts(harness)
    }
    let before = try await send(users.count)
    let after = try await send(mails)
    return (
      after.calls.merging(before.calls) { $0 - $1 },
      Double(after.rowsWritten - before.rowsWritten) / Double(mails), after.tablesReadThrough - before.tablesReadThrough
    )
  }

  @Test("A mail that is awaited is two statements, a queued one at most three, and so many rows")
  func statements() async throws {
    let users = (0..<8).map { "user-\($0)" }
    try await MailerHarness.run(mailers: 0, users: users) { harness in
      try harness.database.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET track_functions = pl', current_database()); END $$")
      for (wait, most, within, rows) in [(30, 2, 10, 11.5), (0, 3, 14, 16.0)] {
        let cost = try await Self.cost(harness, users: users) { $0.wait = ProtobufDuration(.seconds(wait)) }
        // One statement for each, or for several mails that came together.
        let statements = ["accept_messages", "begin_requests", "record_outcomes", "requeue_job", "renew_lease"]
        // What these call. Looks into the queue, shares of the project's quota and upkeep go by time and not by mails.
        let parts = [
          "begin_batch", "lock_mailboxes", "acquire_mailboxes", "release_mailboxes", "roll_usage",
          "tell_message_status",
          "tell_platform", "wake_mailboxes",
        ]
        func calls(_ names: [String]) -> Int { names.reduce(0) { $0 + (cost.calls[$1] ?? 0) } }
        #expect(calls(statements) <= most * Self.mails, "\(cost)")
        #expect(calls(statements + parts) <= within * Self.mails, "\(cost)")
        #expect(cost.rows <= rows, "\(cost)")
        // Each look by an index: the tables that grow are read through by upkeep alone.
        #expect(cost.scans < Self.mails / 4, "\(cost)")
      }
    }
  }
}
