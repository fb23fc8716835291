import CivilTime
import TestSupport
import Testing

@testable import MailerService

/// In Postgres itself, since the simulator's database is another one (see `DatabaseConformanceTests`).
@Suite("A worker that slept past its lease, while another one has the mail")
struct FenceTests {
  enum Write: String, CaseIterable {
    case renewal = "renew_lease"
    case requeue = "requeue_job"
    case intent = "begin_requests"
    case outcome = "record_outcomes"

    func perform(_ leased: MailStore.Leased, _ store: MailStore) async throws -> Bool {
      switch self {
      case .renewal: return try await store.renewLease(leased.key, epoch: leased.epoch)
      case .intent: return try await store.recordIntent(leased) == .recorded
      case .requeue:
        let requeue = SendAttempt.Requeue(
          reason: .rateLimited, at: .now() + .seconds(60), isFailure: true, pausesMailbox: true)
        return try await store.requeue(
          requeue, of: leased.key, epoch: leased.epoch, googleSub: leased.googleSub, attempts: 3, payload: .whole([1]))
      case .outcome:
        let outcome = MailStore.Outcome(
          outcome: .success(messageID: "m", threadID: "t"), at: .now(), attempts: 1, recipients: ["bob@example.com"])
        return try await store.record(outcome, of: leased, isAwaited: false)
      }
    }
  }

  @Test("changes nothing", arguments: Write.allCases, [false, true])
  func changesNothing(_ write: Write, hasIntent: Bool) async throws {
    #expect(try await Self.trace(of: write, hasIntent: hasIntent) == nil)
  }

  @Test("would change something if the database did not look at its epoch", arguments: Write.allCases, [false, true])
  func withoutFence(_ write: Write, hasIntent: Bool) async throws {
    #expect(try await Self.trace(of: write, hasIntent: hasIntent, fenced: false) != nil)
  }

  /// What the late write of the mail's first worker leaves behind; nil: nothing.
  private static func trace(of write: Write, hasIntent: Bool, fenced: Bool = true) async throws -> String? {
    nonisolated(unsafe) var trace: String?
    try await MailerHarness.run(mailers: 0) { harness in
      let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
      let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, 1)))
      if !fenced { try harness.removeFence(from: write.rawValue) }
      try await harness.abandon(key, hasIntent: hasIntent, policy: .retry)
      try harness.expireLeases()
      try await harness.withStore { store in
        try await store.wakeLapsed()
        let second = try #require(try await store.claim(worker: "second", limit: 1, lapsed: true).first)
        #expect(second.key.id == key.id && second.epoch == 2)
        let before = try harness.everything()
        let late = MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 1)
        let isDone = try await write.perform(late, store)
        let after = try harness.everything()
        if isDone || before != after { trace = "\(isDone) \(after)" }
        // The second one's own writes go through.
        let leased = MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 2)
        if fenced { #expect(try await write.perform(leased, store)) }
      }
    }
    return trace
  }
}

extension MailerHarness {
  /// All that a worker's writes touch.
  fileprivate func everything() throws -> [String?] {
    try [
      "send_jobs", "mailboxes", "mailbox_usage", "email_logs", "email_stats_15m", "email_recipients_day",
      "platform_total_deltas", "user_email_accounts", "idempotency_keys",
    ].map { try value("SELECT string_agg(t::text, ' ' ORDER BY t::text) FROM \($0) t") }
  }

  /// The function as it would be without a look at the epoch.
  fileprivate func removeFence(from function: String) throws {
    let text = try #require(
      try value(
        """
        SELECT string_agg(pg_get_functiondef(oid), '') FROM pg_proc
        WHERE pronamespace = 'emailmcp'::regnamespace AND proname = '\(function)'
        """))
    let unfenced = text.replacing(#/\s+AND (s\.)?epoch = (p_epoch|[md]\.epoch)/#, with: "")
    #expect(unfenced != text)
    try database.execute(unfenced)
  }
}
