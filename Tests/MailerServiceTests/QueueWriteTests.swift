import TestSupport
import Testing

/// What a worker, or who takes a mail back, writes by each of the queue's functions. Times are in minutes from now.
@Suite("The functions that write what became of a mail")
struct QueueWriteTests {
  private static let jobs = """
    SELECT right(id::text, 1), minutes(run_at), run_at = 'infinity', lease_owner, minutes(lease_until), intent, parked
    FROM send_jobs ORDER BY id
    """

  // MARK: The lease

  @Test(
    "renew_lease lengthens a lease that lives, and its mailbox's, for its epoch alone; one that has lapsed stays so")
  func renewLease() async throws {
    let queue = try await QueueTables()
    try queue.mailbox("box", ["in_flight_job": "id(1)", "in_flight_until": "at(1)"])
    try queue.mailbox("passed on", ["in_flight_job": "id(9)", "in_flight_until": "at(2)"])
    try queue.job(1, lease: 1, ["epoch": "3"])
    try queue.job(2, in: "passed on", lease: 1, ["epoch": "3"])
    try queue.job(3, in: "third", lease: -1, ["epoch": "3"])
    func renew(_ job: Int, epoch: Int) throws -> [String] {
      try queue.rows("SELECT emailmcp.renew_lease('acme', 'u', id(\(job)), \(epoch), interval '15 min')", of: "acme")
    }
    #expect(try renew(1, epoch: 2) == ["f"])
    #expect(try renew(3, epoch: 3) == ["f"])
    let until = "SELECT minutes(lease_until) FROM send_jobs ORDER BY id"
    let busy = "SELECT google_sub, minutes(in_flight_until) FROM mailboxes ORDER BY google_sub"
    #expect(try queue.rows(until) == ["1", "1", "-1"])
    #expect(try queue.rows(busy) == ["box 1", "passed on 2"])
    #expect(try renew(1, epoch: 3) + renew(2, epoch: 3) == ["t", "t"])
    #expect(try queue.rows(until) == ["15", "15", "-1"])
    #expect(try queue.rows(busy) == ["box 15", "passed on 2"], "another job's request is nobody else's")
  }

  @Test("record_intents is for leases that live under the caller's epoch, and tells the log once")
  func recordIntents() async throws {
    let queue = try await QueueTables()
    for (number, lease) in [(1, 1), (2, -1), (3, 1)] {
      try queue.job(number, lease: lease, ["epoch": "2"])
      try queue.log(number, "queued", ["error_code": "'not_sent'", "error_message": "'later'"])
    }
    for _ in 0..<2 {
      #expect(
        try queue.rows(
          """
          SELECT unnest(emailmcp.record_intents('acme', '["attempt"]', ARRAY['u', 'u', 'u'], ARRAY[id(1), id(2), id(3)],
            ARRAY[born(), born(), born()], ARRAY[2, 2, 1]::bigint[]))
          """, as: .service) == ["00000000-0000-7000-8000-000000000001"])
    }
    #expect(try queue.rows("SELECT intent, minutes(intent_at) FROM send_jobs ORDER BY id") == ["t 0", "f -", "f -"])
    #expect(
      try queue.rows("SELECT status, error_code, error_message, timeline FROM email_logs ORDER BY id") == [
        #"sending - - ["before", "attempt"]"#, #"queued not_sent later ["before"]"#,
        #"queued not_sent later ["before"]"#,
      ])
  }

  // MARK: The end

  /// Outcomes of the mails 1 to 3 at a time, a row each: status, epoch, message and thread.
  private func record(
    _ queue: QueueTables, _ outcomes: [(job: Int, status: String, epoch: Int)], at time: String,
    addresses: [(place: Int, text: String)] = []
  ) throws -> [String] {
    func list(_ values: [String]) -> String { "ARRAY[\(values.joined(separator: ", "))]" }
    func each(_ value: (Int, String, Int) -> String) -> String {
      list(outcomes.map { value($0.job, $0.status, $0.epoch) })
    }
    return try queue.rows(
      """
      SET TimeZone = 'Asia/Tokyo';
      SELECT right(unnest(emailmcp.record_outcomes('acme', \(each { _, _, _ in "'u'" }), \(each { job, _, _ in "id(\(job))" }),
        \(each { _, _, _ in "born()" }), \(each { _, _, epoch in "\(epoch)" })::bigint[],
        \(each { job, _, _ in "'box\(job)'" }), \(each { _, status, _ in "'\(status)'" }),
        \(each { job, status, _ in status == "success" ? "'m\(job)'" : "NULL" })::text[],
        \(each { job, status, _ in status == "success" ? "'t\(job)'" : "NULL" })::text[],
        \(each { _, status, _ in status == "success" ? "NULL" : "'code'" })::text[],
        \(each { _, status, _ in status == "success" ? "NULL" : "'why'" })::text[],
        \(each { _, _, _ in "timestamptz '\(time)'" }), \(each { _, _, _ in "4" }), \(each { _, _, _ in "'[\"end\"]'::jsonb" }),
        \(list(addresses.map { "\($0.place)" }))::integer[], \(list(addresses.map { "'\($0.text)'" }))::text[]))::text, 1)
      """, as: .service)
  }

  private func leased(_ queue: QueueTables, _ numbers: ClosedRange<Int> = 1...3) throws {
    for number in numbers {
      try queue.mailbox(
        "box\(number)", ["in_flight_job": "id(\(number))", "in_flight_until": "at(1)", "usage_now": "9"])
      try queue.job(number, in: "box\(number)", lease: 1, ["epoch": "1", "intent": "true", "recipients": "2"])
      try queue.log(number, "sending", ["thread_id": "'asked'"])
    }
  }

  @Test("record_outcomes writes each mail's end with all that is counted under it, a success's more than the others'")
  func recordOutcomes() async throws {
    let queue = try await QueueTables()
    try leased(queue)
    let time = "2026-01-15 23:59:59Z"
    let ended = try record(
      queue, [(1, "success", 1), (2, "failed", 1), (3, "unknown", 1)], at: time,
      addresses: [(1, "a@b"), (1, "c@d"), (2, "e@f"), (3, "g@h")])
    #expect(ended.sorted() == ["1", "2", "3"])
    #expect(try queue.rows("SELECT id FROM send_jobs") == [])
    #expect(
      try queue.rows(
        """
        SELECT status, message_id, thread_id, error_code, error_message, sent_at = '\(time)', attempts, timeline
        FROM email_logs ORDER BY id
        """) == [
          #"success m1 t1 - - t 4 ["before", "end"]"#, #"failed - asked code why t 4 ["before", "end"]"#,
          #"unknown - asked code why t 4 ["before", "end"]"#,
        ])
    let stats = "SELECT bucket AT TIME ZONE 'UTC', success, failed, unknown FROM"
    #expect(try queue.rows("\(stats) email_stats_15m") == ["2026-01-15 23:45:00 1 1 1"])
    #expect(try queue.rows("\(stats) platform_total_deltas") == ["2026-01-15 23:45:00 1 1 1"])
    let reached = "SELECT day, email, success FROM email_recipients_day ORDER BY email"
    #expect(try queue.rows(reached) == ["2026-01-15 a@b 1", "2026-01-15 c@d 1"])
    // What was refused was not sent to; of what nobody knows it may have been.
    #expect(
      try queue.rows("SELECT usage_now, in_flight_job IS NULL FROM mailboxes ORDER BY google_sub") == [
        "9 t", "7 t", "9 t",
      ])
    // And once more in the same quarter and day.
    try queue.rows("DELETE FROM mailboxes; DELETE FROM email_logs")
    try leased(queue)
    _ = try record(queue, [(3, "unknown", 1), (1, "success", 1), (2, "failed", 1)], at: time, addresses: [(2, "a@b")])
    #expect(try queue.rows("\(stats) email_stats_15m") == ["2026-01-15 23:45:00 2 2 2"])
    #expect(try queue.rows(reached) == ["2026-01-15 a@b 2", "2026-01-15 c@d 1"])
  }

  @Test("record_outcomes leaves alone what is in another's hands, whatever else comes with it")
  func recordOthers() async throws {
    let queue = try await QueueTables()
    try leased(queue)
    #expect(
      try record(queue, [(1, "success", 1), (2, "success", 2)], at: "2026-01-15 12:00Z", addresses: [(2, "a@b")]) == [
        "1"
      ])
    #expect(try record(queue, [(2, "success", 2)], at: "2026-01-15 12:00Z") == [])
    #expect(try queue.rows("SELECT status FROM email_logs ORDER BY id") == ["success", "sending", "sending"])
    #expect(try queue.rows("SELECT success FROM email_stats_15m") == ["1"])
    #expect(try queue.rows("SELECT FROM email_recipients_day").isEmpty)
    #expect(
      try queue.rows("SELECT in_flight_job IS NULL FROM mailboxes ORDER BY google_sub") == ["t", "f", "f"])
  }

  @Test("An account was last used when its mail was last sent, to the minute")
  func lastUsed() async throws {
    let queue = try await QueueTables()
    try queue.rows(
      """
      INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
      VALUES ('acme', 'u', 'u@example.com', 'box1', 'active'), ('acme', 'v', 'v@example.com', 'box9', 'active')
      """)
    for (number, status, second, expected) in [
      (1, "failed", "00", "-"), (2, "success", "00", "12:00:00"), (3, "success", "59", "12:00:00"),
      (4, "unknown", "61", "12:00:00"), (5, "success", "61", "12:01:01"), (6, "success", "00", "12:01:01"),
    ] {
      try leased(queue, number...number)
      let time = second == "61" ? "2026-01-15 12:01:01Z" : "2026-01-15 12:00:\(second)Z"
      #expect(try record(queue, [(number, status, 1)], at: time) == ["\(number)"])
      let used =
        "SELECT to_char(last_used_at AT TIME ZONE 'UTC', 'HH24:MI:SS') FROM user_email_accounts ORDER BY user_id"
      #expect(try queue.rows(used) == [expected, "-"], "mail \(number)")
    }
  }

  @Test("take_back frees the key under which its own mail was taken, and no other mail's")
  func takeBack() async throws {
    let queue = try await QueueTables()
    try leased(queue, 1...2)
    try queue.rows(
      """
      INSERT INTO idempotency_keys (tenant_id, user_id, route, key_hash, fingerprint, message_id)
      SELECT 'acme', 'u', 'messages', sha256(k::bytea), sha256(''), m
      FROM (VALUES ('one', id(1)), ('another''s', id(9))) AS keys (k, m)
      """)
    func takeBack(_ job: Int, epoch: Int, key: String) throws -> [String] {
      try queue.rows(
        """
        SELECT emailmcp.take_back('acme', 'u', id(\(job)), born(), \(epoch), 'box\(job)', 'code', 'why', now(), '["end"]',
          sha256('\(key)'::bytea))
        """, as: .service)
    }
    let keys = "SELECT right(message_id::text, 1) FROM idempotency_keys ORDER BY message_id"
    #expect(try takeBack(1, epoch: 0, key: "one") == ["f"])
    #expect(try takeBack(2, epoch: 1, key: "another''s") == ["t"])
    #expect(try queue.rows(keys) == ["1", "9"])
    #expect(try takeBack(1, epoch: 1, key: "one") == ["t"])
    #expect(try queue.rows(keys) == ["9"])
    #expect(try queue.rows("SELECT status, error_code FROM email_logs ORDER BY id") == ["failed code", "failed code"])
  }

  @Test(
    "cancel_message takes back what nobody has in hand and nobody can have sent",
    arguments: [
      ([:], nil, "cancelled"), ([:], -1, "cancelled"), ([:], 1, "too_late"),
      (["intent": "true"], nil, "too_late"), (["intent": "true"], -1, "too_late"),
      (["ambiguous_tries": "1"], nil, "too_late"), (["attempts": "3"], nil, "cancelled"),
    ] as [([String: String], Int?, String)])
  func cancel(_ columns: [String: String], lease: Int?, answer: String) async throws {
    let queue = try await QueueTables()
    try queue.job(1, lease: lease, columns)
    try queue.log(1, "queued", ["error_code": "'not_sent'", "error_message": "'later'"])
    func cancel(_ user: String = "u", _ job: Int = 1) throws -> [String] {
      try queue.rows(
        "SELECT emailmcp.cancel_message('acme', '\(user)', id(\(job)), born(), '[\"cancelled\"]')", as: .service)
    }
    #expect(try cancel("v") == ["not_found"] && cancel("u", 2) == ["not_found"])
    #expect(try cancel() == [answer] && cancel() == [answer])
    let isCancelled = answer == "cancelled"
    #expect(try queue.rows("SELECT 1 FROM send_jobs") == (isCancelled ? [] : ["1"]))
    #expect(
      try queue.rows("SELECT status, error_code, error_message, minutes(cancelled_at), timeline FROM email_logs") == [
        isCancelled ? #"cancelled - - 0 ["before", "cancelled"]"# : #"queued not_sent later - ["before"]"#
      ])
  }

  // MARK: Back to the queue

  /// - Parameter parked: why it waits; nil for nothing.
  private func requeue(
    _ queue: QueueTables, _ job: Int = 1, epoch: Int = 1, at runAt: Int = 7, parked: String? = nil,
    freeAt: Int? = nil, payload: String = "NULL", wasSent: Bool = false
  ) throws -> [String] {
    try queue.rows(
      """
      SELECT emailmcp.requeue_job('acme', 'u', id(\(job)), born(), \(epoch), 'box', at(\(runAt)), 5,
        \(parked.map { "'\($0)'" } ?? "NULL"), 'code', 'why', \(payload), \(freeAt.map { "at(\($0))" } ?? "NULL"), \(wasSent),
        '["later"]', at(-3))
      """, as: .service)
  }

  private func inFlight(_ columns: [String: String] = [:]) async throws -> QueueTables {
    let queue = try await QueueTables()
    try queue.mailbox(
      "box", ["in_flight_job": "id(1)", "in_flight_until": "at(1)", "usage_now": "9", "wake_at": "at(1)"])
    try queue.job(1, lease: 1, ["epoch": "1", "recipients": "2", "class": "1"].merging(columns) { $1 })
    try queue.log(1, "sending")
    return queue
  }

  @Test("requeue_job gives a mail back as it came, its recipients with it where none can have had it")
  func requeue() async throws {
    for (intent, wasSent, tries, used) in [
      (false, false, 0, 7), (true, false, 0, 7), (true, true, 1, 9), (false, true, 0, 9),
    ] {
      let queue = try await inFlight(["intent": "\(intent)"])
      #expect(try requeue(queue, epoch: 2, wasSent: wasSent) == ["f"])
      #expect(try requeue(queue, wasSent: wasSent) == ["t"])
      #expect(
        try queue.rows(
          "SELECT attempts, ambiguous_tries, minutes(failing_since), convert_from(payload, 'UTF8') FROM send_jobs")
          == ["5 \(tries) -3 x"])
      #expect(try queue.rows(Self.jobs) == ["1 7 f - - f -"])
      #expect(
        try queue.rows("SELECT status, attempts, error_code, error_message, timeline FROM email_logs")
          == [#"queued 5 code why ["before", "later"]"#])
      #expect(
        try queue.rows(
          """
          SELECT in_flight_job IS NULL, usage_now, minutes(wake_at), wake_tenant, waiting, next_free_at = '-infinity'
          FROM mailboxes
          """) == ["t \(used) 7 acme t t"])
    }
  }

  @Test("requeue_job keeps the payload that it is given, and holds the mailbox back where it is to rest")
  func requeueWithPause() async throws {
    let queue = try await inFlight()
    #expect(try requeue(queue, at: 2, parked: "rate_limited", freeAt: 8, payload: "'new'") == ["t"])
    #expect(try queue.rows("SELECT convert_from(payload, 'UTF8'), parked FROM send_jobs") == ["new rate_limited"])
    #expect(
      try queue.rows("SELECT minutes(next_free_at), minutes(wake_at), paused_reason FROM mailboxes") == [
        "8 8 rate_limited"
      ])
  }

  @Test(
    "A mail that waits for its account has the user's other due mail of that mailbox wait for it, and no other mail")
  func park() async throws {
    let queue = try await inFlight()
    try queue.job(2, runAt: -1, ["failing_since": "at(-9)"])
    try queue.job(3, runAt: 9)  // is not due
    try queue.job(4, in: "other", runAt: -1)
    try queue.job(5, user: "v", runAt: -1)
    try queue.job(6, runAt: -1, lease: 1)
    try queue.job(7, tenant: "beta", runAt: -1)
    #expect(try requeue(queue, at: -1, parked: "reauth_required") == ["t"])
    #expect(
      try queue.rows(Self.jobs) == [
        "1 -1 f - - f reauth_required", "2 - t - - f reauth_required", "3 9 f - - f -", "4 -1 f - - f -",
        "5 -1 f - - f -", "6 -1 f dead 1 f -", "7 -1 f - - f -",
      ])
    #expect(try queue.rows("SELECT failing_since FROM send_jobs WHERE id = id(2)") == ["-"])
  }

  @Test("The mail that looks whether the account is back goes on looking until it has had a token")
  func goesOnLooking() async throws {
    for (intent, parked, expected) in [
      (false, nil, "reauth_required"), (true, nil, "-"), (false, "rate_limited", "rate_limited"),
    ] as [(Bool, String?, String)] {
      let queue = try await inFlight(["intent": "\(intent)", "parked": "'reauth_required'"])
      #expect(try requeue(queue, parked: parked) == ["t"])
      #expect(try queue.rows("SELECT parked FROM send_jobs") == [expected])
    }
  }

  // MARK: The account is back

  /// Mail of the user that waits for the account, and some that does not.
  private func waiting() async throws -> QueueTables {
    let queue = try await QueueTables()
    let parked = ["parked": "'reauth_required'", "class": "1"]
    try queue.job(1, runAt: 5, parked)
    try queue.job(2, in: "other", runAt: 9, parked)
    try queue.job(3, runAt: 3, ["class": "1"])  // for later
    try queue.job(4, runAt: 9, ["parked": "'daily_limit'", "class": "1"])
    try queue.job(5, runAt: -1, lease: 1, parked)
    try queue.job(6, user: "v", runAt: 9, parked)
    try queue.job(7, in: "third", tenant: "beta", runAt: 9, parked)
    return queue
  }

  private static let awake = "SELECT google_sub, minutes(wake_at), wake_tenant FROM mailboxes ORDER BY google_sub"

  @Test("unpark_jobs makes due what waits for the user's account, wakes its mailboxes, and nothing else")
  func unpark() async throws {
    let queue = try await waiting()
    #expect(try queue.rows("SELECT emailmcp.unpark_jobs('acme', 'u')", as: .service) == ["2"])
    #expect(
      try queue.rows(Self.jobs) == [
        "1 0 f - - f -", "2 0 f - - f -", "3 3 f - - f -", "4 9 f - - f daily_limit", "5 -1 f dead 1 f reauth_required",
        "6 9 f - - f reauth_required", "7 9 f - - f reauth_required",
      ])
    #expect(try queue.rows(Self.awake) == ["box 0 acme", "other 0 acme"])
    #expect(try queue.rows("SELECT emailmcp.unpark_jobs('acme', 'nobody')", as: .service) == ["0"])
  }

  @Test("look_again has the first of a user's waiting mails look, and answers whether there is one")
  func lookAgain() async throws {
    let queue = try await waiting()
    #expect(try queue.rows("SELECT emailmcp.look_again('acme', 'u')", as: .service) == ["t"])
    #expect(
      try queue.rows("SELECT right(id::text, 1), parked FROM send_jobs WHERE minutes(run_at) = 0") == [
        "1 reauth_required"
      ])
    #expect(try queue.rows(Self.awake) == ["box 0 acme"])
    #expect(try queue.rows("SELECT emailmcp.look_again('acme', 'nobody')", as: .service) == ["f"])
    try queue.rows("DELETE FROM send_jobs WHERE id <> id(5)")
    #expect(try queue.rows("SELECT emailmcp.look_again('acme', 'u')", as: .service) == ["f"], "it looks already")
  }

  @Test("parked_users names those of whom nobody looks, or whose account is connected")
  func parkedUsers() async throws {
    let queue = try await QueueTables()
    let parked = ["parked": "'reauth_required'"]
    for (number, user, looks) in [(1, "a", false), (2, "a", false), (3, "b", true), (4, "b", false), (5, "c", true)] {
      try queue.job(number, user: user, parked)
      if !looks { try queue.rows("UPDATE send_jobs SET run_at = 'infinity' WHERE id = id(\(number))") }
    }
    try queue.job(6, user: "d")
    try queue.rows(
      """
      INSERT INTO user_email_accounts (tenant_id, user_id, email_address, google_sub, status)
      SELECT 'acme', u, u || '@example.com', u, s
      FROM (VALUES ('a', 'reauth_required'), ('b', 'active'), ('c', 'disconnected'), ('d', 'active')) AS a (u, s)
      """)
    func users(_ connected: Bool, _ limit: Int) throws -> [String] {
      try queue.rows("SELECT tenant_id, user_id FROM emailmcp.parked_users(\(connected), \(limit))", as: .service)
    }
    #expect(try users(false, 9) == ["acme a"])
    #expect(try users(true, 9) == ["acme b"])
    #expect(try users(true, 0) == [])
  }
}
