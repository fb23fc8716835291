import CivilTime
import MailSyntax
import PostgresClient
import StrictJSON

// The steps of every mail, for as many mails at once as wait: one statement a tenant, one transaction for all.
extension MailStore {
  func accept(_ mail: Acceptance) async throws -> Accepted {
    guard case .large(let payload) = mail.payload else { return try await acceptances.submit(mail) }
    return try await Self.withLarge(payload, pool) { transaction, object in
      let rows = try await transaction.commit(Self.acceptance, Self.parameters([mail], pace, object))
      return try Self.accepted([mail], rows.only())[0]
    }
  }

  func recordIntent(_ leased: Leased) async throws -> SendAttempt.Intent { try await intents.submit(leased) }

  /// False when the lease is no longer the caller's.
  func record(_ outcome: Outcome, of leased: Leased, isAwaited: Bool) async throws -> Bool {
    try await (isAwaited ? awaitedOutcomes : outcomes).submit((leased, outcome))
  }

  // MARK: Accepting

  /// The last parameter is a large object with the payload of the only mail, or null.
  private static let acceptance: Statement = """
    SELECT emailmcp.accept_messages(
      $1, $2, make_interval(secs => $3), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
      $21, $22, $23, $24, $25, $26, $27, $28, CASE WHEN $31::oid IS NULL THEN $29 ELSE ARRAY[lo_get($31::oid)] END, $30),
      lo_unlink($31::oid)
    """

  static func accept(_ mails: [Acceptance], _ pool: PostgresPool, _ pace: MailboxPace.Terms) async throws -> [Accepted]
  {
    try await inOneTransaction(
      mails, pool, tenant: { $0.key.tenantID },
      locks: { ([], $0.map(\.account.googleSub)) },
      statement: acceptance
    ) { _, mails in
      parameters(mails, pace)
    } answers: { mails, row in
      try accepted(mails, row)
    }
  }

  /// - Parameter mails: of one tenant.
  private static func parameters(
    _ mails: [Acceptance], _ pace: MailboxPace.Terms, _ object: Int64? = nil
  ) -> [PostgresValue] {
    let now = Timestamp.now()
    let timelines: [PostgresValue] = [["accepted", "leased", "attempt"], ["accepted"], ["accepted", "scheduled"]].map {
      .json(TimelineText.json($0.map { TimelineText.Entry($0) }, at: now))
    }
    return [
      .text(mails.first?.key.tenantID), .text(mails.lazy.compactMap(\.worker).first), .seconds(Lease.duration),
      .seconds(pace.interval), .int4(Int32(pace.burst)), .int4(pace.dailyRecipients),
    ] + timelines + columns(mails) + [.int8(object)]
  }

  private static func accepted(_ mails: [Acceptance], _ row: PostgresRow) throws -> [Accepted] {
    try words(row, count: mails.count).map { word in
      switch word {
      case "sending": .sending(epoch: 1)
      case "queued": .queued
      case "busy": .busy
      case "duplicate": .duplicate
      case "suppressed": .suppressed
      case "disabled": .tenantDisabled
      default: .accountChanged
      }
    }
  }

  private static func columns(_ mails: [Acceptance]) -> [PostgresValue] {
    let messages = mails.map(\.message)
    return [
      .textArray(mails.map(\.key.userID)), .uuidArray(mails.map(\.key.id)),
      .timestampArray(mails.map(\.key.createdAt)), .textArray(mails.map(\.account.googleSub)),
      .int8Array(mails.map(\.account.grantVersion)), .textArray(mails.map(\.account.address.specification)),
      .jsonArray(messages.map { json($0.to) }), .jsonArray(messages.map { json($0.cc) }),
      .jsonArray(messages.map { json($0.bcc) }), .textArray(messages.map(\.subject)),
      .textArray(messages.map(\.threadID)), .textArray(mails.map(\.credentialID)),
      .jsonArray(messages.map { json($0.metadata) }), .timestampArray(messages.map(\.sendAt)),
      .textArray(mails.map(\.policy.rawValue)), .int4Array(messages.map { Int32($0.recipientCount) }),
      .int4Array(mails.map { Int32(SendClass(isBulk: $0.isBulk, isAwaited: $0.isAwaited).rawValue) }),
      .bytesArray(mails.map { $0.idempotency?.keyHash }),
      .bytesArray(mails.map { $0.idempotency?.fingerprint }), .bytesArray(mails.map(\.payload?.whole)),
      .boolArray(mails.map { $0.worker != nil && $0.message.sendAt == nil }),
    ]
  }

  // MARK: Leased mail

  static func recordIntents(_ mails: [Leased], _ pool: PostgresPool) async throws -> [SendAttempt.Intent] {
    let entry = TimelineText.json([.init("leased"), .init("attempt")], at: .now())
    return try await inOneTransaction(
      mails, pool, tenant: { $0.key.tenantID },
      statement: "SELECT emailmcp.begin_requests($1, $2, $3, $4, $5, $6)"
    ) { tenant, mails in
      [
        .text(tenant), .json(entry), .textArray(mails.map(\.key.userID)), .uuidArray(mails.map(\.key.id)),
        .timestampArray(mails.map(\.key.createdAt)), .int8Array(mails.map(\.epoch)),
      ]
    } answers: { mails, row in
      try words(row, count: mails.count).map { SendAttempt.Intent(rawValue: $0) ?? .lost }
    }
  }

  static func record(_ mails: [(leased: Leased, outcome: Outcome)], _ pool: PostgresPool) async throws -> [Bool] {
    try await inOneTransaction(
      mails, pool, tenant: { $0.leased.key.tenantID },
      locks: { ($0.map(\.leased.key), $0.map(\.leased.googleSub)) },
      statement: """
        SELECT emailmcp.record_outcomes(
          $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        """
    ) { tenant, mails in
      let keys = mails.map(\.leased.key)
      let ends = mails.map(\.outcome)
      let ids = ends.map { end -> (message: String?, thread: String?) in
        if case .success(let message, let thread) = end.outcome { (message, thread) } else { (nil, nil) }
      }
      let errors = ends.map { $0.outcome.error }
      let entries = ends.map { end in
        TimelineText.json(end.story.ending("outcome", end.outcome.error?.code ?? end.outcome.status), at: end.at)
      }
      let places = ends.indices.flatMap { index in ends[index].recipients.map { _ in Int32(index + 1) } }
      return [
        .text(tenant), .textArray(keys.map(\.userID)), .uuidArray(keys.map(\.id)),
        .timestampArray(keys.map(\.createdAt)), .int8Array(mails.map(\.leased.epoch)),
        .textArray(mails.map(\.leased.googleSub)), .textArray(ends.map(\.outcome.status)),
        .textArray(ids.map(\.message)), .textArray(ids.map(\.thread)), .textArray(errors.map { $0?.code }),
        .textArray(errors.map { $0?.message }), .timestampArray(ends.map(\.at)),
        .int4Array(ends.map { Int32($0.attempts) }), .jsonArray(entries), .int4Array(places),
        .textArray(ends.flatMap(\.recipients)),
      ]
    } answers: { mails, row in
      let ended: PostgresArray<UniqueID> = try row[0]
      let ids = Set(ended.values)
      return mails.map { ids.contains($0.leased.key.id) }
    }
  }

  // MARK: One transaction

  /// Runs `statement` once for each tenant among the mails, all in one transaction and one trip; answers in the order of
  /// the mails.
  ///
  /// - Parameter locks: jobs and mailboxes that it locks in an order of its own. With several tenants that would be one
  ///   tenant's after another's; then all are locked first, in one order.
  private static func inOneTransaction<Mail, Answer>(
    _ mails: [Mail], _ pool: PostgresPool, tenant: (Mail) -> String,
    locks: ([Mail]) -> (jobs: [MailKey], mailboxes: [String]) = { _ in ([], []) }, statement: Statement,
    parameters: (String, [Mail]) -> [PostgresValue], answers: ([Mail], PostgresRow) throws -> [Answer]
  ) async throws -> [Answer] {
    // By bytes, as the database compares them; a dictionary of strings would not.
    let places = mails.indices.sorted {
      tenant(mails[$0]).utf8.lexicographicallyPrecedes(tenant(mails[$1]).utf8)
    }
    var groups: [[Int]] = []
    for place in places {
      if let last = groups.last?.first, tenant(mails[last]).utf8.elementsEqual(tenant(mails[place]).utf8) {
        groups[groups.count - 1].append(place)
      } else {
        groups.append([place])
      }
    }
    var statements = groups.map { group in
      (statement, parameters(tenant(mails[group[0]]), group.map { mails[$0] }))
    }
    let locks = locks(mails)
    let isLocked = groups.count > 1 && !locks.mailboxes.isEmpty
    if isLocked {
      statements.insert(
        (
          "SELECT emailmcp.lock_batch($1, $2, $3, $4)",
          [
            .textArray(locks.jobs.map(\.tenantID)), .textArray(locks.jobs.map(\.userID)),
            .uuidArray(locks.jobs.map(\.id)), .textArray(locks.mailboxes),
          ]
        ), at: 0)
    }
    let results = try await pool.batch(statements).dropFirst(isLocked ? 1 : 0)
    var ordered = [Answer?](repeating: nil, count: mails.count)
    for (group, rows) in zip(groups, results) {
      let answers = try answers(group.map { mails[$0] }, try rows.only())
      for (place, answer) in zip(group, answers) { ordered[place] = answer }
    }
    return ordered.compactMap(\.self)
  }

  private static func words(_ row: PostgresRow, count: Int) throws -> [String] {
    let words: PostgresArray<String> = try row[0]
    guard words.values.count == count else { throw PostgresError(.decoding, "an answer too few") }
    return words.values
  }

  // MARK: JSON

  private static func json(_ addresses: [MailAddress]) -> [UInt8] {
    var json = JSONWriter()
    json.array(of: addresses) { $0.value($1.specification) }
    return json.finish()
  }

  private static func json(_ pairs: [MessageDraft.Pair]) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      for pair in pairs { json.member(pair.name, pair.value) }
    }
    return json.finish()
  }
}
