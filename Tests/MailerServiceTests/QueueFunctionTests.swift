import TestSupport
import Testing

/// What each function of the queue does by itself; what they do together stands in the tests of the queue. Times are in
/// minutes from now.
@Suite("The queue's functions in the database")
struct QueueFunctionTests {
  // MARK: What dead workers left

  private static let lost = "SELECT right(id::text, 1) FROM emailmcp.claim_lost"

  @Test("claim_lost takes what has only its fate to be told, the longest lapsed first, and nothing else")
  func claimLost() async throws {
    let queue = try await QueueTables()
    let lost = ["intent": "true"]
    try queue.job(1, lease: -2, lost)
    try queue.job(2, in: "other", tenant: "beta", lease: -3, lost)
    try queue.job(3, lease: -1, lost.merging(["attempts": "4", "ambiguous_tries": "2", "epoch": "7"]) { $1 })
    try queue.job(4, lease: -9)  // may be sent again
    try queue.job(5, lease: -9, ["intent": "true", "on_ambiguous": "'retry'"])  // so may this
    try queue.job(6, lease: 9, lost)  // its worker lives
    try queue.job(7)
    #expect(try queue.rows("\(Self.lost)('w', 0, interval '15 min')", as: .service) == [])
    #expect(try queue.rows("\(Self.lost)('w', 2, interval '15 min') ORDER BY 1", as: .service) == ["1", "2"])
    #expect(
      try queue.rows(
        """
        SELECT right(id::text, 1), mailbox, tenant_id, attempts, ambiguous_tries, epoch, intent, on_ambiguous
        FROM emailmcp.claim_lost('w', 9, interval '15 min')
        """, as: .service) == ["3 box acme 5 3 8 t hold"])
    #expect(try queue.rows("\(Self.lost)('w', 9, interval '15 min')", as: .service) == [])
    #expect(
      try queue.rows(
        "SELECT right(id::text, 1), lease_owner, minutes(lease_until), epoch FROM send_jobs WHERE id <= id(3) ORDER BY id"
      )
        == ["1 w 15 1", "2 w 15 1", "3 w 15 8"])
    #expect(try queue.rows("SELECT DISTINCT lease_owner FROM send_jobs WHERE id > id(3) ORDER BY 1") == ["dead", "-"])
  }

  @Test(
    "What sees all tenants' mail sees it no longer than it takes",
    arguments: [
      "claim_lost('w', 9, interval '15 s')", "wake_lapsed()", "next_turn('box', now())",
      "claim_jobs('w', 9, interval '15 s', 1, 1, 100)", "repair_wakes()",
    ])
  func scope(call: String) async throws {
    let queue = try await QueueTables()
    try queue.mailbox()
    try queue.job(1)
    try queue.job(2, tenant: "beta", lease: -1, ["intent": "true"])
    // The answer of the call is not of interest.
    #expect(
      try queue.rows(
        "SELECT FROM emailmcp.\(call); SELECT 'then', count(*) FROM send_jobs", as: .service) == ["then 0"])
    // With something to do, and with nothing.
    for due in ["at(-1)", "at(1)"] {
      try queue.rows(
        """
        UPDATE mailboxes SET wake_at = \(due), in_flight_until = '-infinity', next_free_at = '-infinity';
        UPDATE send_jobs SET lease_owner = NULL, lease_until = NULL WHERE id = id(1)
        """)
      #expect(
        try queue.rows(
          """
          SELECT FROM set_config('emailmcp.scope', 'mine', false); SELECT FROM emailmcp.\(call);
          SELECT current_setting('emailmcp.scope')
          """, as: .service) == ["mine"])
    }
  }

  private static let boxes = """
    SELECT google_sub, minutes(wake_at), minutes(urgent_at), wake_tenant, waiting FROM mailboxes ORDER BY google_sub
    """

  @Test(
    "wake_lapsed wakes the mailboxes of mail that may be sent again, for the tenant whose it is, before all bulk mail")
  func wakeLapsed() async throws {
    let queue = try await QueueTables()
    for (number, name) in ["asleep", "busy", "due", "lapsed later", "lost", "planned", "two"].enumerated() {
      var columns: [String: String] = [:]
      switch name {
      case "busy": columns = ["in_flight_until": "at(5)", "in_flight_job": "id(99)"]
      case "due": columns = ["urgent_at": "at(-7)", "wake_at": "at(-8)", "wake_tenant": "'beta'"]
      case "planned": columns = ["urgent_at": "at(30)", "wake_at": "at(-9)", "wake_tenant": "'beta'"]
      default: break
      }
      try queue.mailbox(name, columns)
      let lease = name == "lapsed later" ? 5 : -1
      try queue.job(number * 2, in: name, tenant: "beta", lease: lease, ["intent": name == "lost" ? "true" : "false"])
    }
    try queue.job(98, in: "two", tenant: "acme", lease: -1, ["intent": "true", "on_ambiguous": "'retry'"])
    #expect(try queue.rows("SELECT emailmcp.wake_lapsed()", as: .service) == ["3"])
    #expect(
      try queue.rows(Self.boxes) == [
        "asleep 0 0 beta t", "busy - - - f", "due -8 -7 beta f", "lapsed later - - - f", "lost - - - f",
        "planned -9 0 beta t", "two 0 0 acme t",
      ])
    #expect(try queue.rows("SELECT emailmcp.wake_lapsed()", as: .service) == ["0"], "they are awake")
  }

  // MARK: Turns

  private func turn(_ queue: QueueTables, notBefore: Int) throws -> String? {
    try queue.rows(
      "SELECT minutes(wake), minutes(urgent), tenant FROM emailmcp.next_turn('box', at(\(notBefore)))", as: .service
    ).first
  }

  @Test("next_turn is when the first of a mailbox's mail is due, whose that is, and when the first interactive one is")
  func nextTurn() async throws {
    let queue = try await QueueTables()
    #expect(try turn(queue, notBefore: -90) == "- - -")
    try queue.job(1, tenant: "beta", runAt: -30, ["class": "1"])
    try queue.job(2, in: "boxes", runAt: -80)  // another's
    #expect(try turn(queue, notBefore: -90) == "-30 - beta")
    #expect(try turn(queue, notBefore: -10) == "-10 - beta")
    try queue.job(3, runAt: 30)
    #expect(try turn(queue, notBefore: -90) == "-30 30 beta", "an interactive one that is not due passes nobody")
    #expect(try turn(queue, notBefore: 40) == "40 40 acme", "by then it is due")
    #expect(try turn(queue, notBefore: 20) == "20 30 beta")
    try queue.job(4, runAt: -20, ["class": "2"])
    #expect(try turn(queue, notBefore: -90) == "-30 -20 acme", "one that is due has its own tenant's turn")
    try queue.rows("UPDATE send_jobs SET lease_owner = 'w', lease_until = at(1) WHERE id IN (id(3), id(4))")
    #expect(try turn(queue, notBefore: -90) == "-30 - beta", "who is leased is not interactive mail that waits")
    try queue.rows("DELETE FROM send_jobs WHERE id = id(1)")
    #expect(try turn(queue, notBefore: -90) == "-20 - acme")
  }

  /// As a tenant's batch does.
  private func wake(_ queue: QueueTables, _ boxes: [(name: String, at: Int)], tenant: String = "acme") throws {
    try queue.rows(
      """
      SELECT FROM set_config('emailmcp.tenant_id', '\(tenant)', false);
      SELECT FROM emailmcp.wake_mailboxes(
        ARRAY[\(boxes.map { "'\($0.name)'" }.joined(separator: ", "))]::text[],
        ARRAY[\(boxes.map { "at(\($0.at))" }.joined(separator: ", "))]::timestamptz[])
      """, as: .service)
  }

  @Test("wake_mailboxes makes a mailbox that is not there, with the earliest of the times that it is given")
  func wakeNew() async throws {
    let queue = try await QueueTables()
    try queue.job(1, in: "b", runAt: 5, ["class": "1"])
    try queue.job(2, in: "b", runAt: 3, ["class": "1"])
    try queue.job(3, in: "a", runAt: 4)
    try wake(queue, [("b", 5), ("a", 4), ("b", 3)])
    #expect(try queue.rows(Self.boxes) == ["a 4 4 acme t", "b 3 - acme t"])
  }

  @Test("wake_mailboxes never lets a mailbox sleep longer, nor wakes it before it is free")
  func wakeKnown() async throws {
    let queue = try await QueueTables()
    try queue.mailbox("busy", ["in_flight_until": "at(7)"])
    try queue.mailbox("early", ["wake_at": "at(-9)", "wake_tenant": "'beta'", "waiting": "true"])
    try queue.mailbox("empty")
    try queue.mailbox("late", ["wake_at": "at(9)", "wake_tenant": "'beta'", "waiting": "true"])
    try queue.mailbox("paced", ["next_free_at": "at(6)", "wake_at": "at(9)", "wake_tenant": "'beta'"])
    let names = ["busy", "early", "empty", "late", "paced"]
    for (number, name) in names.enumerated() { try queue.job(number, in: name, runAt: -5, ["class": "1"]) }
    try wake(queue, names.map { ($0, -5) })
    #expect(
      try queue.rows(Self.boxes) == [
        "busy 7 - acme t", "early -9 - beta t", "empty -5 - acme t", "late -5 - acme t", "paced 6 - acme t",
      ])
  }

  @Test(
    "wake_mailboxes has interactive mail that is due take the turn of another tenant's bulk mail; later it takes none")
  func wakeUrgent() async throws {
    let queue = try await QueueTables()
    let bulk = ["wake_at": "at(-9)", "wake_tenant": "'beta'", "waiting": "true"]
    for name in ["due", "earlier", "later", "leased", "paced"] { try queue.mailbox(name, bulk) }
    try queue.rows(
      """
      UPDATE mailboxes SET urgent_at = at(-4), waiting = false WHERE google_sub = 'earlier';
      UPDATE mailboxes SET next_free_at = at(6), wake_at = at(6), urgent_at = at(8) WHERE google_sub = 'paced'
      """)
    try queue.job(1, in: "due", runAt: -3)
    try queue.job(2, in: "earlier", runAt: -3)
    try queue.job(3, in: "later", runAt: 3)
    try queue.job(4, in: "leased", runAt: -3, lease: 1)
    try queue.job(5, in: "paced", runAt: -3)
    try wake(queue, [("due", -3), ("earlier", -3), ("later", 3), ("leased", -3), ("paced", -3)])
    #expect(
      try queue.rows(Self.boxes) == [
        "due -9 -3 acme t", "earlier -9 -4 beta t", "later -9 3 beta t", "leased -9 - beta t", "paced 6 6 acme t",
      ])
  }

  // MARK: The day

  /// A head of the queue as `claim_jobs` finds it.
  private func putOff(
    _ queue: QueueTables, _ heads: [(job: Int, mailbox: String, recipients: Int, room: Int, place: Int?)]
  )
    throws
  {
    let rows = heads.map {
      """
      ROW('\($0.mailbox)', 'acme', 'u', id(\($0.job)), \($0.recipients), \($0.room), false, false, NULL,
        \($0.place.map(String.init) ?? "NULL"))::emailmcp.queue_head
      """
    }
    // The caller is claim_jobs: it sees all jobs.
    try queue.rows(
      """
      SELECT FROM set_config('emailmcp.scope', 'queue', false);
      SELECT FROM emailmcp.put_off(ARRAY[\(rows.joined(separator: ", "))], now())
      """, as: .owner)
  }

  /// Hours from the beginning of this one.
  private static let jobs = """
    SELECT right(id::text, 1), CASE WHEN run_at > now() THEN extract(epoch FROM run_at - date_bin('1 hour', now(), 'epoch'))::int / 3600 END,
      parked, minutes(put_off_at) FROM send_jobs ORDER BY id
    """

  @Test("put_off has what is too large for the room of a day wait until that many have left it, and nothing else")
  func putOffLarge() async throws {
    let queue = try await QueueTables()
    try queue.mailbox()
    try queue.mailbox("other")
    // Of the room that is missing one is free after 3 more hours, three after 5.
    try queue.rows(
      """
      INSERT INTO mailbox_usage SELECT 'box', date_bin('1 hour', now(), 'epoch') - h * interval '1 hour', n
      FROM (VALUES (22, 1), (20, 2)) AS u (h, n)
      """)
    try queue.job(1, ["recipients": "5"])  // the head
    try queue.job(2, tenant: "beta", ["recipients": "3", "parked": "'reauth_required'", "put_off_at": "at(-90)"])
    try queue.job(3, ["recipients": "2"])  // fits
    try queue.job(4, runAt: 5, ["recipients": "5"])  // is not due
    try queue.job(5, lease: -1, ["recipients": "5"])  // is counted already
    try queue.job(6, in: "other", ["recipients": "5"])
    try queue.job(7, ["recipients": "9"])  // more than ever leaves
    try putOff(queue, [(1, "box", 5, 2, nil), (6, "other", 5, 2, 1)])
    #expect(
      try queue.rows(Self.jobs) == [
        "1 5 daily_limit 0", "2 3 reauth_required -90", "3 - - -", "4 \(try hour(5, queue)) - -", "5 - - -", "6 - - -",
        "7 25 daily_limit 0",
      ])
    #expect(
      try queue.rows("SELECT count(*) FROM mailboxes WHERE next_free_at > now() OR paused_reason IS NOT NULL") == ["0"])
  }

  /// In which hour from this one's beginning a time lies.
  private func hour(_ minutes: Int, _ queue: QueueTables) throws -> String {
    try queue.rows(
      "SELECT extract(epoch FROM at(\(minutes)) - date_bin('1 hour', now(), 'epoch'))::int / 3600"
    ).first ?? ""
  }

  @Test("put_off looks at 64 mails beside the first, however many are too large")
  func putOffMany() async throws {
    let queue = try await QueueTables()
    try queue.mailbox()
    try queue.rows(
      """
      INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, run_at, payload, recipients)
      SELECT 'acme', 'u', id(n), now(), 'box', at(-200 + n), 'x', 5 FROM generate_series(1, 100) AS n;
      INSERT INTO mailbox_usage VALUES ('box', date_bin('1 hour', now(), 'epoch') - interval '20 hours', 3)
      """)
    try putOff(queue, [(100, "box", 5, 2, nil)])
    #expect(try queue.rows("SELECT max(run_at) <= now() FROM send_jobs WHERE id BETWEEN id(65) AND id(99)") == ["t"])
    #expect(
      try queue.rows(
        """
        SELECT count(*), run_at = date_bin('1 hour', now(), 'epoch') + interval '5 hours' FROM send_jobs
        WHERE run_at > now() GROUP BY 2
        """) == ["65 t"])
  }

  @Test(
    "put_off lays a mailbox without room to sleep until one recipient more than its debt has left, its mail as it is")
  func putOffAll() async throws {
    let queue = try await QueueTables()
    for name in ["box", "debt", "full"] { try queue.mailbox(name) }
    try queue.rows(
      """
      INSERT INTO mailbox_usage SELECT b, date_bin('1 hour', now(), 'epoch') - h * interval '1 hour', 1
      FROM (VALUES ('box'), ('debt')) AS m (b), (VALUES (22), (21)) AS u (h)
      """)
    try queue.job(1, ["recipients": "1"])
    try queue.job(2, in: "debt", tenant: "beta", ["recipients": "1", "class": "1"])
    try queue.job(3, in: "full", ["recipients": "9"])
    try putOff(queue, [(1, "box", 1, 0, nil), (2, "debt", 1, -1, nil), (3, "full", 9, 0, 1)])
    #expect(
      try queue.rows(
        """
        SELECT google_sub, extract(epoch FROM next_free_at - date_bin('1 hour', now(), 'epoch'))::int / 3600,
          wake_at = next_free_at, urgent_at = next_free_at, wake_tenant, paused_reason, waiting
        FROM mailboxes WHERE next_free_at > now() ORDER BY 1
        """) == ["box 3 t t acme daily_limit t", "debt 4 t - beta daily_limit t"])
    #expect(try queue.rows("SELECT DISTINCT minutes(run_at), parked FROM send_jobs") == ["-60 -"])
  }

  // MARK: Giving back

  /// - Parameter freeAt: minutes; nil: at once.
  private func release(
    _ queue: QueueTables, job: Int = 1, freeAt: Int? = nil, reason: String? = nil, refund: Int = 0
  ) throws {
    try queue.rows(
      """
      SELECT FROM emailmcp.release_mailboxes(ARRAY['box'], ARRAY[id(\(job))],
        ARRAY[\(freeAt.map { "at(\($0))" } ?? "'-infinity'::timestamptz")], ARRAY[\(reason.map { "'\($0)'" } ?? "NULL")]::text[],
        ARRAY[\(refund)])
      """, as: .service)
  }

  /// With a request under way for the job 1.
  private func busy(_ columns: [String: String] = [:]) async throws -> QueueTables {
    let queue = try await QueueTables()
    try queue.mailbox(
      "box",
      ["in_flight_job": "id(1)", "in_flight_until": "at(9)", "credit": "3", "usage_now": "5", "usage_before": "7"]
        .merging(columns) { $1 })
    return queue
  }

  private static let given = """
    SELECT in_flight_job IS NULL, minutes(in_flight_until), minutes(next_free_at), minutes(pace_until), credit, usage_now,
      paused_reason FROM mailboxes
    """

  @Test("release_mailboxes frees a mailbox for its job's sake alone, gives recipients back, and keeps its pace")
  func release() async throws {
    let queue = try await busy(["next_free_at": "at(2)", "pace_until": "at(3)", "paused_reason": "'old'"])
    try release(queue, job: 2, freeAt: 8, reason: "rate_limited", refund: 2)
    #expect(try queue.rows(Self.given) == ["f 9 2 3 3 5 old"], "another job's")
    try release(queue, freeAt: -1, refund: 2)
    #expect(try queue.rows(Self.given) == ["t - 2 3 3 3 -"])
  }

  @Test("release_mailboxes with a time to rest takes the credit away, never shortens a rest, and never owes recipients")
  func releaseIntoRest() async throws {
    for (next, pace, given) in [(2, 20, "10 20"), (20, 2, "20 10")] {
      let queue = try await busy(["next_free_at": "at(\(next))", "pace_until": "at(\(pace))"])
      try release(queue, freeAt: 10, reason: "rate_limited", refund: 6)
      #expect(try queue.rows(Self.given) == ["t - \(given) 0 0 rate_limited"])
    }
  }

  @Test("Gmail's word that the day is used up teaches its limit where its end is far, and nothing where it is near")
  func learntLimit() async throws {
    for (freeAt, reason, refund, expected) in [
      (29, "daily_limit", 1, "- -"), (31, "daily_limit", 1, "11 31"), (31, "daily_limit", 99, "1 31"),
      (600, "rate_limited", 1, "- -"),
    ] {
      let queue = try await busy(refund == 99 ? ["usage_before": "0"] : [:])
      try release(queue, freeAt: freeAt, reason: reason, refund: refund)
      #expect(try queue.rows("SELECT day_limit, minutes(day_limit_until) FROM mailboxes") == [expected])
    }
  }

  @Test("Gmail's word that it is too fast cuts the share, once in a while; no other word does")
  func cutShare() async throws {
    for (reason, since, share, cutAt) in [
      ("rate_limited", "at(-60)", "0.7", "0"), ("rate_limited", "now() - interval '9 s'", "1", "0"),
      ("daily_limit", "at(-60)", "1", "-60"), ("not_sent", "at(-60)", "1", "-60"),
    ] {
      let queue = try await busy(["share_at": since])
      try release(queue, freeAt: 10, reason: reason)
      #expect(try queue.rows("SELECT share, minutes(share_at) FROM mailboxes") == ["\(share) \(cutAt)"], "\(reason)")
    }
  }

  @Test(
    "A mailbox with more to send goes to the end of the line; an empty one leaves it, and one that never waited is left"
  )
  func lineAfterRelease() async throws {
    let queue = try await busy(["waiting": "true", "wake_at": "at(9)", "wake_tenant": "'beta'"])
    try queue.job(2, runAt: -60)
    try release(queue)
    #expect(try queue.rows(Self.boxes) == ["box 0 0 acme t"], "not by how long it has been due")
    try queue.rows(
      "UPDATE mailboxes SET in_flight_job = id(1), next_free_at = at(4); UPDATE send_jobs SET run_at = at(7), class = 1"
    )
    try release(queue)
    #expect(try queue.rows(Self.boxes) == ["box 7 - acme t"])
    try queue.rows("UPDATE mailboxes SET in_flight_job = id(1); DELETE FROM send_jobs")
    try release(queue)
    #expect(try queue.rows(Self.boxes) == ["box - - - f"])
    try queue.rows("UPDATE mailboxes SET in_flight_job = id(1), wake_at = at(5)")
    try release(queue)
    #expect(try queue.rows(Self.boxes) == ["box 5 - - f"])
  }
}
