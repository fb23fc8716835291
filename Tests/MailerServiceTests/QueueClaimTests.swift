import TestSupport
import Testing

/// What a claim takes, by each function that it is made of. Times are in minutes from now.
@Suite("The functions that find a mail to send")
struct QueueClaimTests {
  // MARK: claim_jobs

  /// A mailbox that may send now.
  private static let due = ["wake_at": "at(-60)", "wake_tenant": "'acme'", "waiting": "true"]

  private func claim(
    _ queue: QueueTables, limit: Int = 9, dayLimit: Int = 100, inline: Int = 9, lapsed: Bool = true,
    columns: String = "right(id::text, 1)"
  ) throws -> [String] {
    try queue.rows(
      """
      SELECT \(columns) FROM emailmcp.claim_jobs('w', \(limit), interval '15 min', 60, 0, \(dayLimit), \(inline), \(lapsed))
      ORDER BY id
      """, as: .service)
  }

  @Test("A claimed mail is leased under the next epoch, and its mailbox busy, paced and charged")
  func claimed() async throws {
    let queue = try await QueueTables()
    try queue.mailbox(
      "box", ["urgent_at": "at(-60)", "paused_reason": "'old'", "usage_now": "3"].merging(Self.due) { $1 })
    try queue.job(1, ["epoch": "4", "recipients": "5", "put_off_at": "at(-5)", "parked": "'reauth_required'"])
    try queue.job(2, ["class": "1"])
    #expect(
      try claim(queue, columns: "right(id::text, 1), mailbox, epoch, minutes(lease_until), intent, attempts, parked")
        == ["1 box 5 15 f 0 reauth_required"])
    #expect(
      try queue.rows("SELECT lease_owner, minutes(lease_until), epoch, put_off_at FROM send_jobs ORDER BY id")
        == ["w 15 5 -", "- - 0 -"])
    #expect(
      try queue.rows(
        """
        SELECT right(in_flight_job::text, 1), minutes(in_flight_until), minutes(wake_at), urgent_at, minutes(next_free_at),
          paused_reason, usage_now, usage_hour = date_bin('1 hour', now(), 'epoch'), waiting FROM mailboxes
        """) == ["1 15 15 - 1 - 5 t t"], "what was used before this hour has left it")
    #expect(try claim(queue) == [], "one request at a time")
  }

  @Test("A payload comes with its mail where it is no larger than asked for")
  func inline() async throws {
    let queue = try await QueueTables()
    for (number, payload) in [(1, "'xx'"), (2, "'xxx'")] {
      try queue.mailbox("box\(number)", Self.due)
      try queue.job(number, in: "box\(number)", ["class": "1"])
      try queue.rows("UPDATE send_jobs SET payload = \(payload) WHERE id = id(\(number))")
    }
    #expect(
      try claim(queue, inline: 2, columns: "payload_bytes, convert_from(payload, 'UTF8')") == ["2 xx", "3 -"])
  }

  @Test("From 1 to 1,000 mails may be asked for", arguments: [(0, false), (1, true), (1000, true), (1001, false)])
  func bounds(limit: Int, isTaken: Bool) async throws {
    let queue = try await QueueTables()
    #expect((try? claim(queue, limit: limit)) == (isTaken ? [] : nil))
  }

  @Test("A lapsed lease goes first, room or not, is charged no second time, and counts a try that may have been sent")
  func lapsedFirst() async throws {
    for (intent, counted) in [("false", "0 0"), ("true", "1 1")] {
      let queue = try await QueueTables()
      try queue.mailbox(
        "box", ["usage_hour": "date_bin('1 hour', now(), 'epoch')", "usage_now": "8"].merging(Self.due) { $1 })
      try queue.job(1)
      try queue.job(2, lease: -1, ["intent": intent, "on_ambiguous": "'retry'", "recipients": "5", "epoch": "1"])
      #expect(try claim(queue, dayLimit: 8, lapsed: false) == [], "left to those that were there")
      try queue.rows("UPDATE mailboxes SET wake_at = at(-1), next_free_at = '-infinity', paused_reason = NULL")
      #expect(
        try claim(queue, dayLimit: 8, columns: "right(id::text, 1), epoch, intent, attempts, ambiguous_tries")
          == ["2 2 \(intent.prefix(1)) \(counted)"])
      #expect(try queue.rows("SELECT usage_now, minutes(wake_at), paused_reason FROM mailboxes") == ["8 15 -"])
      #expect(try queue.rows("SELECT lease_owner FROM send_jobs ORDER BY id") == ["-", "w"])
    }
  }

  @Test("What is not due, what lives in another's hands, and what has only its fate to be told are not claimed")
  func left() async throws {
    let queue = try await QueueTables()
    for (number, name) in ["later", "living", "lost", "parked"].enumerated() {
      try queue.mailbox(name, ["urgent_at": "at(-60)"].merging(Self.due) { $1 })
      switch name {
      case "later": try queue.job(number, in: name, runAt: 5)
      case "living": try queue.job(number, in: name, lease: 5)
      case "lost": try queue.job(number, in: name, lease: -5, ["intent": "true"])
      default:
        try queue.job(number, in: name, ["parked": "'reauth_required'", "put_off_at": "at(-9999)"])
        try queue.rows("UPDATE send_jobs SET run_at = 'infinity' WHERE id = id(\(number))")
      }
    }
    #expect(try claim(queue) == [])
    // A mailbox sleeps until it has something to do.
    #expect(
      try queue.rows(
        """
        SELECT google_sub, minutes(wake_at), wake_at = 'infinity', minutes(urgent_at), wake_tenant FROM mailboxes
        WHERE google_sub IN ('later', 'parked') ORDER BY 1
        """) == ["later 5 f 5 acme", "parked - t - acme"])
    try queue.rows("DELETE FROM send_jobs; UPDATE mailboxes SET wake_at = at(-1)")
    #expect(try claim(queue) == [])
    #expect(try queue.rows("SELECT DISTINCT wake_at, urgent_at, wake_tenant, waiting FROM mailboxes") == ["- - - f"])
  }

  @Test("A mail that fits the day to the last recipient goes, and one more recipient does not")
  func fits() async throws {
    let queue = try await QueueTables()
    for (number, recipients) in [(1, 2), (2, 3)] {
      try queue.mailbox(
        "box\(number)",
        ["usage_hour": "date_bin('1 hour', now(), 'epoch')", "usage_now": "8"].merging(Self.due) { $1 })
      try queue.job(number, in: "box\(number)", ["recipients": "\(recipients)", "class": "1"])
    }
    #expect(try claim(queue, dayLimit: 10) == ["1"])
    #expect(
      try queue.rows("SELECT parked, put_off_at IS NOT NULL FROM send_jobs ORDER BY id") == ["- f", "daily_limit t"])
  }

  @Test("A mail that has waited a day for room keeps the room until there is enough for it, and not for one more")
  func keepsRoom() async throws {
    let queue = try await QueueTables()
    try queue.mailbox(
      "box",
      ["usage_hour": "date_bin('1 hour', now(), 'epoch')", "usage_before": "4", "usage_now": "2"].merging(Self.due) {
        $1
      })
    try queue.rows(
      """
      INSERT INTO mailbox_usage SELECT 'box', date_bin('1 hour', now(), 'epoch') - h * interval '1 hour', n
      FROM (VALUES (22, 2), (20, 1), (19, 1)) AS u (h, n)
      """)
    try queue.job(1, ["recipients": "5", "put_off_at": "at(-24 * 60 - 1)"])
    try queue.job(2)
    #expect(try claim(queue, dayLimit: 8) == [])
    #expect(
      try queue.rows("SELECT next_free_at - date_bin('1 hour', now(), 'epoch'), paused_reason FROM mailboxes")
        == ["05:00:00 daily_limit"])
  }

  // MARK: In which order

  @Test("A lapsed lease goes before others' bulk mail, also when it is bulk mail itself")
  func lapsedBulk() async throws {
    let queue = try await QueueTables()
    for name in ["1", "2", "3"] { try queue.mailbox(name, Self.due) }
    try queue.job(1, in: "1", ["class": "1"])
    for number in [2, 3] { try queue.job(number, in: "\(number)", runAt: -5, lease: -1, ["class": "1"]) }
    #expect(try claim(queue, limit: 2) == ["2", "3"])
  }

  @Test("Of a tenant's bulk mail the mailbox goes first that has waited longest since its last turn")
  func turnWithinTenant() async throws {
    let queue = try await QueueTables()
    for (number, wake) in [(1, -1), (2, -30)] {
      try queue.mailbox("\(number)", Self.due.merging(["wake_at": "at(\(wake))"]) { $1 })
      try queue.job(number, in: "\(number)", runAt: -60 + number, ["class": "1"])
    }
    #expect(try claim(queue, limit: 1) == ["2"])
  }

  /// Mailboxes with a mail each, all of them due.
  private static func mailboxes(_ name: String, _ count: Int, class kind: Int) -> String {
    """
    INSERT INTO mailboxes (google_sub, wake_at, urgent_at, wake_tenant, waiting)
      SELECT '\(name)' || n, at(-60), CASE WHEN \(kind) = 0 THEN at(-60) END, 'acme', true FROM generate_series(1, \(count)) n;
    INSERT INTO send_jobs (tenant_id, user_id, id, created_at, mailbox, run_at, payload, class)
      SELECT 'acme', 'u', gen_random_uuid(), born(), '\(name)' || n, at(-60), 'x', \(kind) FROM generate_series(1, \(count)) n;
    """
  }

  /// How many each claim of one session takes, and how many of them are bulk mail.
  ///
  /// - Parameter between: runs behind the first.
  private func counts(_ queue: QueueTables, _ limits: [Int], between: String = "") throws -> [String] {
    var claims = limits.map { limit in
      """
      INSERT INTO claims SELECT count(*), count(*) FILTER (WHERE class = 1)
        FROM emailmcp.claim_jobs('w', \(limit), interval '15 min', 60, 0, 100);
      """
    }
    claims.insert(between, at: 1)
    return try queue.rows(
      "CREATE TEMPORARY TABLE claims (all_of bigint, bulk bigint);\(claims.joined())SELECT * FROM claims")
  }

  @Test("Bulk mail has every ninth place, counted on from one claim of a session to the next")
  func ninthPlace() async throws {
    let queue = try await QueueTables()
    try queue.rows(Self.mailboxes("interactive", 60, class: 0) + Self.mailboxes("bulk", 20, class: 1))
    #expect(try counts(queue, [8, 1, 17, 1, 4, 5]) == ["8 0", "1 1", "17 1", "1 1", "4 0", "5 1"])
  }

  @Test("Places that bulk mail did not want are not made up for when it comes")
  func noArrears() async throws {
    let queue = try await QueueTables()
    try queue.rows(Self.mailboxes("interactive", 60, class: 0))
    #expect(try counts(queue, [30, 3], between: Self.mailboxes("bulk", 20, class: 1)) == ["30 0", "3 1"])
  }

  // MARK: Who is due

  private func longestDue(_ queue: QueueTables, bulk: Bool, most: Int = 9, known: String = "{}") throws -> [String] {
    try queue.rows("SELECT unnest(emailmcp.longest_due(\(bulk), \(most), now(), '\(known)'))", as: .service)
  }

  /// Mailboxes of a kind that are due, and some that are not.
  private func dueMailboxes(_ isBulk: Bool) async throws -> QueueTables {
    let queue = try await QueueTables()
    for (name, minutes, more) in [
      ("first", -9, [:]), ("second", -8, [:]), ("third", -7, [:]), ("later", 1, [:]),
      ("paced", -9, ["next_free_at": "at(1)"]),
      ("busy", -9, ["in_flight_until": "at(1)"]),
    ] as [(String, Int, [String: String])] {
      let at = "at(\(minutes))"
      let columns = ["wake_at": isBulk ? at : "at(-99)", "urgent_at": isBulk ? "NULL" : at, "wake_tenant": "'acme'"]
      try queue.mailbox(name, columns.merging(more) { $1 })
    }
    try queue.mailbox("of the other kind", ["wake_at": "at(-30)", "urgent_at": isBulk ? "at(-30)" : "NULL"])
    try queue.mailbox("empty")
    return queue
  }

  @Test("longest_due is of one kind, the longest due first, and of what may send now", arguments: [false, true])
  func longestDue(isBulk: Bool) async throws {
    let queue = try await dueMailboxes(isBulk)
    #expect(try longestDue(queue, bulk: isBulk) == ["first", "second", "third"])
    #expect(try longestDue(queue, bulk: isBulk, most: 2) == ["first", "second"])
    #expect(try longestDue(queue, bulk: isBulk, most: 2, known: "{first}") == ["second", "third"])
  }

  private func dueByTurn(
    _ queue: QueueTables, bulk: Bool, after: String = "", most: Int = 99, known: String = "{}"
  ) throws -> String? {
    try queue.rows(
      """
      SELECT FROM emailmcp.plan_by_index();
      SELECT array_to_string(boxes, ' '), coalesce('until ' || p_until, 'all')
      FROM emailmcp.due_by_turn(\(bulk), '\(after)', \(most), now(), '\(known)')
      """, as: .service
    ).first
  }

  @Test("due_by_turn is of one kind, and of what may send now", arguments: [false, true])
  func dueByTurn(isBulk: Bool) async throws {
    let queue = try await dueMailboxes(isBulk)
    #expect(try dueByTurn(queue, bulk: isBulk) == "first second third all")
    #expect(try dueByTurn(queue, bulk: isBulk, known: "{second}") == "first third all")
  }

  /// Mailboxes of a number of tenants each, named by tenant and number, the first the longest due.
  private func tenants(_ names: [String], each count: Int, bulk isBulk: Bool) async throws -> QueueTables {
    let queue = try await QueueTables()
    try queue.rows(
      """
      INSERT INTO mailboxes (google_sub, wake_tenant, wake_at, urgent_at)
      SELECT t || n, t, at(n - 60), CASE WHEN NOT \(isBulk) THEN at(n - 60) END
      FROM unnest(ARRAY['\(names.joined(separator: "', '"))']) t, generate_series(1, \(count)) n
      """)
    return queue
  }

  @Test(
    "due_by_turn begins behind the tenant that it is told, goes round once, and takes four of a tenant",
    arguments: [false, true])
  func rounds(isBulk: Bool) async throws {
    let queue = try await tenants(["a", "b", "c"], each: 6, bulk: isBulk)
    #expect(try dueByTurn(queue, bulk: isBulk) == "a1 a2 a3 a4 b1 b2 b3 b4 c1 c2 c3 c4 all")
    #expect(
      try dueByTurn(queue, bulk: isBulk, after: "b") == "c1 c2 c3 c4 a1 a2 a3 a4 b1 b2 b3 b4 c5 c6 all",
      "what was taken in the first lap is not taken again")
    #expect(
      try dueByTurn(queue, bulk: isBulk, after: "c", known: "{a1,a2,a3}") == "a4 a5 a6 b1 b2 b3 b4 c1 c2 c3 c4 all")
    // As many as were asked for: the next claim goes on behind the last.
    #expect(try dueByTurn(queue, bulk: isBulk, most: 5) == "a1 a2 a3 a4 b1 until b")
    #expect(try dueByTurn(queue, bulk: isBulk, after: "b", most: 5) == "c1 c2 c3 c4 a1 a2 a3 a4 b1 all")
  }

  @Test("due_by_turn looks at 64 tenants in a row, and says how far it came", arguments: [false, true])
  func manyTenants(isBulk: Bool) async throws {
    let names = (10..<90).map { "t\($0)-" }
    let queue = try await tenants(names, each: 1, bulk: isBulk)
    let answer = try #require(try dueByTurn(queue, bulk: isBulk)).split(separator: " ")
    #expect(answer.count == 64 + 2 && answer.first == "t10-1" && answer.suffix(3) == ["t73-1", "until", "t73-"])
    let rest = try #require(try dueByTurn(queue, bulk: isBulk, after: "t73-")).split(separator: " ")
    #expect(rest.first == "t74-1" && rest.count == 80 + 1 && rest.last == "all", "the 16 behind, and 64 round the end")
  }

  @Test("Of bulk mail's line a mailbox is passed by whose interactive mail is due, and takes part when it is for later")
  func bulkLine() async throws {
    let queue = try await QueueTables()
    for (name, wake, urgent) in [("bulk", -9, "NULL"), ("due", -8, "at(-1)"), ("later", -7, "at(1)")] {
      try queue.mailbox(name, ["wake_at": "at(\(wake))", "urgent_at": urgent, "wake_tenant": "'acme'"])
    }
    #expect(try dueByTurn(queue, bulk: true) == "bulk later all")
    #expect(try dueByTurn(queue, bulk: false) == "due all")
  }

  // MARK: Where the turns go on

  @Test(
    "A tenant's place in the round",
    arguments: [
      ("b", "a", "c", true), ("a", "a", "c", false), ("c", "a", "c", true), ("d", "a", "c", false),
      // Round the end.
      ("d", "c", "a", true), ("a", "c", "a", true), ("b", "c", "a", false), ("c", "c", "a", false),
      ("b", "b", "b", true), ("a", "b", "b", true), ("B", "a", "c", false),
    ])
  func isBetween(tenant: String, after: String, until: String, expected: Bool) async throws {
    let answer = try await QueueTables().rows("SELECT emailmcp.is_between('\(tenant)', '\(after)', '\(until)')")
    #expect(answer == [expected ? "t" : "f"])
  }

  @Test("The turns of a kind go on behind the last that had a place, and no further than all were looked at")
  func turnsAfter() async throws {
    let queue = try await QueueTables()
    func after(_ heads: [(tenant: String, bulk: Bool, turn: Int, place: Int?)], until: String?) throws -> String? {
      let rows = heads.enumerated().map { number, head in
        """
        ROW('box', '\(head.tenant)', 'u', id(\(number)), 1, 9, false, \(head.bulk), \(head.turn),
          \(head.place.map(String.init) ?? "NULL"))::emailmcp.queue_head
        """
      }
      return try queue.rows(
        """
        SELECT emailmcp.turns_after(ARRAY[\(rows.joined(separator: ", "))]::emailmcp.queue_head[], true, 2, 'b',
          \(until.map { "'\($0)'" } ?? "NULL"))
        """
      ).first
    }
    // All have been looked at.
    #expect(try after([], until: nil) == "b")
    #expect(
      try after([("c", true, 1, 1), ("d", true, 1, 2), ("e", true, 1, 3), ("f", false, 1, 1)], until: nil) == "d")
    // Some have.
    #expect(try after([("c", true, 1, 1), ("z", true, 1, 3)], until: "d") == "c")
    #expect(try after([("c", true, 1, 1), ("c", true, 2, 2)], until: "d") == "d", "they are at their second mails")
    #expect(try after([("z", true, 1, 1)], until: "d") == "d", "it is one of the longest due, out of its turn")
    #expect(try after([("c", true, 1, 3)], until: "d") == "b", "it waits for a place")
    #expect(try after([("z", true, 1, 3)], until: "d") == "d")
    #expect(try after([("c", true, 1, nil)], until: "d") == "d", "its day is used up")
    #expect(try after([("c", false, 1, 1)], until: "d") == "d")
  }

  // MARK: Repair

  @Test("repair_wakes rights what would strand a mail, and leaves every place in the line as it is")
  func repairWakes() async throws {
    let queue = try await QueueTables()
    let right = ["wake_at": "at(-9)", "urgent_at": "at(-9)", "wake_tenant": "'beta'", "waiting": "true"]
    for (number, (name, columns)) in [
      ("1 asleep", ["wake_at": "NULL", "urgent_at": "at(-90)"]), ("2 late", ["wake_at": "at(9)"]),
      ("3 late urgent", ["urgent_at": "at(9)"]),
      ("4 no urgent", ["wake_at": "at(-90)", "urgent_at": "NULL"]), ("5 nobody", ["wake_tenant": "NULL"]),
      // In the line behind others, or held back with reason.
      ("6 behind", ["wake_at": "at(0)", "urgent_at": "at(0)"]),
      ("7 paced", ["wake_at": "at(5)", "urgent_at": "at(5)", "next_free_at": "at(5)"]),
      ("8 busy", ["wake_at": "at(5)", "urgent_at": "at(5)", "in_flight_until": "at(5)"]),
    ].enumerated() {
      try queue.mailbox(name, right.merging(columns) { $1 })
      try queue.job(number, in: name, ["class": name == "4 no urgent" ? "2" : "0"])
    }
    try queue.job(20, in: "9 missing", runAt: -5, ["class": "1"])
    try queue.job(21, in: "9 missing", tenant: "beta", runAt: -7, ["class": "1"])
    #expect(try queue.rows("SELECT emailmcp.repair_wakes()", as: .service) == ["6"])
    let lines =
      "SELECT google_sub, minutes(wake_at), minutes(urgent_at), wake_tenant, waiting FROM mailboxes ORDER BY 1"
    #expect(
      try queue.rows(lines) == [
        "1 asleep -60 -90 beta t", "2 late -60 -60 beta t", "3 late urgent -60 -60 beta t",
        "4 no urgent -90 -60 beta t",
        "5 nobody -60 -60 acme t", "6 behind 0 0 beta t", "7 paced 5 5 beta t", "8 busy 5 5 beta t",
        "9 missing -7 - beta t",
      ])
    #expect(try queue.rows("SELECT emailmcp.repair_wakes()", as: .service) == ["0"])
  }

  @Test("repair_wakes looks after lapsed leases that may be sent again, and leaves those that live or are lost")
  func repairLapsed() async throws {
    let queue = try await QueueTables()
    for (number, (lease, more)) in [
      (-1, [:]), (1, [:]), (-1, ["intent": "true"]), (-1, ["intent": "true", "on_ambiguous": "'retry'"]),
    ].enumerated() as EnumeratedSequence<[(Int, [String: String])]> {
      try queue.mailbox("box\(number)")
      try queue.job(number, in: "box\(number)", runAt: -5, lease: lease, more)
    }
    #expect(try queue.rows("SELECT emailmcp.repair_wakes()", as: .service) == ["2"])
    #expect(
      try queue.rows(
        "SELECT google_sub, minutes(wake_at), minutes(urgent_at), wake_tenant, waiting FROM mailboxes ORDER BY 1")
        == ["box0 -5 -5 acme t", "box1 - - - f", "box2 - - - f", "box3 -5 -5 acme t"])
  }
}
