import CivilTime
import EventLoop
@testable import PostgresClient
import TLSSession
import TestSupport
import Testing

@testable import OAuthService

@Suite("Storage, on Postgres with row-level security")
struct StorageTests {
  let user = UserKey(tenant: "default", user: "u/1 ü")

  private func withStores(
    _ configure: @Sendable (inout PostgresConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable (PostgresFlows, PostgresAccounts, PostgresPool, TestDatabase) async throws -> Void
  ) async throws {
    let database = try await PostgresFixture.database()
    try database.createTenant("default")
    try database.createTenant("other")
    try await database.withPool(configure) { pool in
      try await body(PostgresFlows(pool), PostgresAccounts(pool), pool, database)
    }
  }

  private func flow(_ user: UserKey) -> AuthorizationFlow {
    AuthorizationFlow(
      user: user, redirectURL: "https://crm.example.com/done", nonce: "nonce", verifier: .random(),
      expectedEmail: "ann@example.com", credentialID: "key-1")
  }

  private func connection(sub: String = "sub-1") -> NewConnection {
    NewConnection(
      identity: GoogleIdentity(subject: sub, email: "ann@example.com", isEmailVerified: true),
      scopes: GoogleScope.requested, sealedAccessToken: [1, 2, 3], accessTokenExpiry: .now() + .seconds(3600),
      refreshTokenExpiry: nil, secretName: "secret-1", actor: "key-1")
  }

  @Test("Redirect URLs are a tenant's own and compared byte by byte")
  func redirects() async throws {
    try await withStores { flows, _, _, database in
      try database.execute("INSERT INTO redirect_urls VALUES ('default', 'https://a/b')")
      for (url, tenant, isRegistered) in [
        ("https://a/b", "default", true), ("https://a/B", "default", false), ("https://a/b", "other", false),
      ] {
        let answer = try await flows.isRegistered(redirectURL: url, tenant: tenant)
        #expect(answer == isRegistered)
      }
    }
  }

  @Test("A flow is consumed once, and only within its tenant")
  func consume() async throws {
    let user = user
    let flow = flow(user)
    try await withStores { flows, _, _, _ in
      let state = FlowState.random()
      _ = try await flows.save(flow, state: state, sealedVerifier: [9], lifetime: .seconds(600))
      let foreign = try await flows.consume(state, tenant: "other")
      #expect(foreign == nil)
      let stored = try #require(try await flows.consume(state, tenant: "default"))
      #expect(stored.user == user)
      #expect(stored.nonce == "nonce")
      #expect(stored.sealedVerifier == [9])
      #expect(stored.expectedEmail == "ann@example.com")
      #expect(stored.sealedCode == nil)
      let again = try await flows.consume(state, tenant: "default")
      #expect(again == nil)
    }
  }

  @Test("Flows that nobody finished go at once, however many they are")
  func expiredFlows() async throws {
    try await withStores { _, _, pool, database in
      try database.execute(
        """
        INSERT INTO oauth_flows
          (tenant_id, state_hash, user_id, redirect_url, nonce, verifier_sealed, expires_at)
        SELECT 'default', sha256(n::text::bytea), 'u', 'r', 'n', '',
          now() + make_interval(mins => CASE WHEN n <= 10001 THEN -1 ELSE 10 END)
        FROM generate_series(1, 10004) n
        """)
      try await OAuthGraph.removeExpired(pool)
      #expect(try database.execute("SELECT count(*) FROM oauth_flows")[0][0] == "3")
    }
  }

  @Test("Google's code is attached once, found by the state alone, and not after the end")
  func attach() async throws {
    let (user, flow) = (user, flow(user))
    try await withStores { flows, _, _, database in
      let state = FlowState.random()
      let until = try await flows.save(flow, state: state, sealedVerifier: [9], lifetime: .seconds(600))
      #expect(
        try database.execute(
          """
          SELECT (extract(epoch FROM expires_at) * 1000000)::bigint, expires_at - created_at = interval '600 s'
          FROM oauth_flows
          """) == [["\(until.microseconds)", "t"]], "by the database's clock")
      let found = try #require(try await flows.findOpen(state))
      #expect(found.user == user)
      #expect(found.redirectURL == flow.redirectURL)
      for isFirst in [true, false] {
        let isAttached = try await flows.attach(
          sealedCode: [7], handleHash: SHA256.hash([]), lifetime: .seconds(3600), to: state, tenant: "default")
        #expect(isAttached == isFirst)
      }
      let isOpen = try await flows.findOpen(state) != nil
      #expect(!isOpen)
      #expect(
        try database.execute("SELECT code_expires_at = expires_at FROM oauth_flows") == [["t"]],
        "never longer than the flow")
      let code = try #require(try await flows.consume(state, tenant: "default")?.sealedCode)
      #expect(code.sealed == [7] && code.isFresh)
    }
  }

  /// The end was written by one machine's clock and read by another's.
  @Test("A flow and its code are over when the database says so")
  func over() async throws {
    let flow = flow(user)
    try await withStores { flows, _, _, database in
      for (flowEnds, codeEnds, isThere, isFresh) in [(1, 1, true, true), (1, 0, true, false), (0, 0, false, false)] {
        let state = FlowState.random()
        _ = try await flows.save(flow, state: state, sealedVerifier: [9], lifetime: .seconds(600))
        #expect(
          try await flows.attach(
            sealedCode: [7], handleHash: SHA256.hash([]), lifetime: .seconds(120), to: state, tenant: "default"))
        try database.execute(
          """
          UPDATE oauth_flows SET expires_at = now() + interval '\(flowEnds) min',
            code_expires_at = now() + interval '\(codeEnds) min'
          """)
        let consumed = try await flows.consume(state, tenant: "default")
        #expect((consumed != nil) == isThere && (consumed?.sealedCode?.isFresh ?? false) == isFresh)
        #expect(try database.execute("SELECT count(*) FROM oauth_flows")[0][0] == "0", "used up all the same")
      }
      let late = FlowState.random()
      _ = try await flows.save(flow, state: late, sealedVerifier: [9], lifetime: .seconds(-1))
      let isOpen = try await flows.findOpen(late) != nil
      #expect(!isOpen)
    }
  }

  @Test("States that were never made share a transaction, and one among them that was made is found")
  func strangersStates() async throws {
    let flow = flow(user)
    try await withStores({ ($0.sharedConnections, $0.maxPipelineDepth, $0.maxWaiting) = (1, 1, 2) }) {
      flows, _, pool, _ in
      let made = FlowState.random()
      _ = try await flows.save(flow, state: made, sealedVerifier: [9], lifetime: .seconds(600))
      let states = (0..<100).map { _ in FlowState.random() } + [made]
      let answers = states.map { state in pool.reactor.spawn { try await flows.findOpen(state)?.redirectURL } }
      for (state, answer) in zip(states, answers) {
        let found = try await answer.value
        #expect(found == (state == made ? flow.redirectURL : nil))
      }
    }
  }

  @Test("An account survives its round trip; a new consent raises both versions")
  func connect() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, _, database in
      let nobody = try await accounts.find(user)
      #expect(nobody == nil)
      try await accounts.connect(user, connection)
      let account = try #require(try await accounts.find(user))
      #expect(account.email == "ann@example.com")
      #expect(account.googleSub == "sub-1")
      #expect(account.status == .active)
      #expect(account.scopes == GoogleScope.requested)
      #expect(account.sealedAccessToken == [1, 2, 3])
      #expect(account.secretName == "secret-1")
      #expect(account.grantVersion == 1)
      #expect(account.tokenVersion == 1)
      try await accounts.connect(user, connection)
      let second = try #require(try await accounts.find(user))
      #expect(second.grantVersion == 2)
      #expect(second.tokenVersion == 2)
      let other = try await accounts.find(UserKey(tenant: "other", user: user.user))
      #expect(other == nil)
      let audit = try database.execute("SELECT actor, action, user_id FROM audit_events")
      #expect(audit == [["key-1", "gmail.connected", user.user], ["key-1", "gmail.connected", user.user]])
    }
  }

  @Test("One lease at a time; a refresh is written under it alone, and once")
  func lease() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, _, _ in
      try await accounts.connect(user, connection)
      let account = try #require(try await accounts.find(user))
      var taken = 0
      for owner in ["a", "b"] {
        if try await accounts.takeRefreshLease(user, of: account, owner: owner, lease: .seconds(20)) { taken += 1 }
      }
      #expect(taken == 1)
      let token = RefreshedToken(sealed: [4], expiry: .now() + .seconds(3600), scopes: nil)
      var saved: [Bool] = []
      for owner in ["b", "a", "a"] {
        saved.append(try await accounts.saveRefreshed(user, of: account, owner: owner, token))
      }
      #expect(saved == [false, true, false])
      let fresh = try #require(try await accounts.find(user))
      #expect(fresh.tokenVersion == 2)
      #expect(fresh.sealedAccessToken == [4])
      #expect(fresh.refreshLease == nil)
      #expect(fresh.scopes == GoogleScope.requested)
      let stale = try await accounts.takeRefreshLease(user, of: account, owner: "c", lease: .seconds(20))
      #expect(!stale, "the row has moved")
      let next = try await accounts.takeRefreshLease(user, of: fresh, owner: "c", lease: .seconds(-1))
      #expect(next)
      let lapsed = try await accounts.takeRefreshLease(user, of: fresh, owner: "d", lease: .seconds(20))
      #expect(lapsed)
      try await accounts.releaseRefreshLease(user, owner: "c")
      let kept = try await accounts.find(user)?.refreshLease
      #expect(kept != nil, "only its owner gives a lease back")
      try await accounts.releaseRefreshLease(user, owner: "d")
      let released = try await accounts.find(user)?.refreshLease
      #expect(released == nil)
    }
  }

  @Test("A dead grant is written for the row that was read, not for a newer one")
  func reauth() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, _, _ in
      try await accounts.connect(user, connection)
      let old = try #require(try await accounts.find(user))
      try await accounts.connect(user, connection)
      let isWritten = try await accounts.requireReauth(user, of: old, reason: "invalid_grant")
      #expect(!isWritten)
      let new = try #require(try await accounts.find(user))
      let isDead = try await accounts.requireReauth(user, of: new, reason: "invalid_grant")
      #expect(isDead)
      let account = try #require(try await accounts.find(user))
      #expect(account.status == .reauthRequired)
      #expect(account.reauthReason == "invalid_grant")
      #expect(account.sealedAccessToken == nil)
    }
  }

  @Test("What was decided on an older token, or on a connection that is no more, changes nothing")
  func fences() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, _, database in
      let token = RefreshedToken(sealed: [4], expiry: .now() + .seconds(3600), scopes: ["narrower"])
      try await accounts.connect(user, connection)
      let first = try #require(try await accounts.find(user))
      _ = try await accounts.takeRefreshLease(user, of: first, owner: "a", lease: .seconds(20))
      let isSaved = try await accounts.saveRefreshed(user, of: first, owner: "a", token)
      #expect(isSaved)
      // The token has moved, the grant has not.
      let isDead = try await accounts.requireReauth(user, of: first, reason: "invalid_grant")
      #expect(!isDead)
      let second = try #require(try await accounts.find(user))
      #expect(second.scopes == ["narrower"] && second.grantVersion == first.grantVersion)
      // The grant has moved, the token has not: as if its version had been kept.
      let isTaken = try await accounts.takeRefreshLease(user, of: second, owner: "b", lease: .seconds(20))
      #expect(isTaken)
      let isOld = try await accounts.saveRefreshed(user, of: first, owner: "b", token)
      #expect(!isOld)
      try database.execute(
        "UPDATE user_email_accounts SET grant_version = grant_version + 1, refresh_lease_until = NULL")
      for isWritten in [
        try await accounts.takeRefreshLease(user, of: second, owner: "b", lease: .seconds(20)),
        try await accounts.saveRefreshed(user, of: second, owner: "b", token),
        try await accounts.requireReauth(user, of: second, reason: "invalid_grant"),
      ] { #expect(!isWritten) }
      // Neither has moved, but nobody is connected any more.
      let third = try #require(try await accounts.find(user))
      for status in ["disconnected", "reauth_required"] {
        try database.execute("UPDATE user_email_accounts SET status = '\(status)', refresh_lease_until = NULL")
        for isWritten in [
          try await accounts.takeRefreshLease(user, of: third, owner: "b", lease: .seconds(20)),
          try await accounts.saveRefreshed(user, of: third, owner: "b", token),
          try await accounts.requireReauth(user, of: third, reason: "invalid_grant"),
        ] { #expect(!isWritten) }
      }
      #expect(try database.execute("SELECT count(*) FROM audit_events")[0][0] == "1")
    }
  }

  @Test("A new consent ends the refresh that is under way, and a late removal leaves its secret")
  func reconnected() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, _, _ in
      try await accounts.connect(user, connection)
      let first = try #require(try await accounts.find(user))
      _ = try await accounts.takeRefreshLease(user, of: first, owner: "a", lease: .seconds(20))
      _ = try await accounts.disconnect(user, actor: "key-1")
      let gone = try #require(try await accounts.find(user))
      #expect(gone.sealedAccessToken == nil && gone.refreshLease == nil && gone.secretName == "secret-1")
      try await accounts.connect(user, connection)
      try await accounts.secretRemoved(user, revoked: nil, actor: "key-1")
      let second = try #require(try await accounts.find(user))
      #expect(second.status == .active && second.secretName == "secret-1" && second.refreshLease == nil)
      #expect(second.grantVersion == first.grantVersion + 2)
      _ = try await accounts.takeRefreshLease(user, of: second, owner: "a", lease: .seconds(20))
      try await accounts.connect(user, connection)
      let lease = try await accounts.find(user)?.refreshLease
      #expect(lease == nil)
    }
  }

  @Test("Only the last link to a Google account is the last, over all tenants")
  func disconnect() async throws {
    let (user, other, connection) = (user, UserKey(tenant: "other", user: "u2"), connection())
    try await withStores { _, accounts, _, database in
      try await accounts.connect(user, connection)
      try await accounts.connect(other, connection)
      let first = try await accounts.disconnect(user, actor: "key-1")
      #expect(first == Disconnection(wasLastLink: false))
      let repeated = try await accounts.disconnect(user, actor: "key-1")
      #expect(repeated == Disconnection(wasLastLink: false), "the secret is still to be removed")
      try await accounts.secretRemoved(user, revoked: nil, actor: "key-1")
      let third = try await accounts.disconnect(user, actor: "key-1")
      #expect(third == nil)
      let last = try await accounts.disconnect(other, actor: "key-2")
      #expect(last == Disconnection(wasLastLink: true))
      try await accounts.secretRemoved(other, revoked: true, actor: "key-2")
      let account = try #require(try await accounts.find(user))
      #expect(account.status == .disconnected)
      #expect(account.grantVersion == 2)
      let stranger = try await accounts.disconnect(UserKey(tenant: "default", user: "nobody"), actor: "key-1")
      #expect(stranger == nil)
      let audit = try database.execute("SELECT tenant_id, action, outcome FROM audit_events ORDER BY at OFFSET 2")
      #expect(
        audit == [
          ["default", "gmail.disconnected", "success"], ["other", "gmail.disconnected", "success"],
          ["other", "gmail.revoked", "success"],
        ])
    }
  }

  @Test("What is written for the audit names who did it, to whom, and what came of it")
  func audit() async throws {
    let (user, connection, flow) = (user, connection(), flow(user))
    try await withStores { flows, accounts, _, database in
      _ = try await flows.save(flow, state: .random(), sealedVerifier: [9], lifetime: .seconds(600))
      #expect(try database.execute("SELECT credential_id FROM oauth_flows") == [["key-1"]])
      try await accounts.connect(user, connection)
      let account = try #require(try await accounts.find(user))
      _ = try await accounts.requireReauth(user, of: account, reason: "invalid_grant")
      _ = try await accounts.disconnect(user, actor: "key-2")
      try await accounts.secretRemoved(user, revoked: false, actor: "key-3")
      let events = try database.execute(
        "SELECT actor, action, outcome, detail ->> 'reason' FROM audit_events ORDER BY at")
      #expect(
        events == [
          ["key-1", "gmail.connected", "success", nil], ["oauth", "gmail.reauth_required", "success", "invalid_grant"],
          ["key-2", "gmail.disconnected", "success", nil], ["key-3", "gmail.revoked", "failed", nil],
        ])
      let whose = try database.execute("SELECT DISTINCT tenant_id, user_id, target FROM audit_events")
      #expect(whose == [["default", user.user, "gmail_api"]])
    }
  }

  @Test("A Google account is linked while anybody of any tenant is connected to it; what was revoked is written down")
  func links() async throws {
    let connection = connection()
    try await withStores { _, accounts, _, database in
      let users = ["default", "other"].map { UserKey(tenant: $0, user: "ann") }
      for user in users { try await accounts.connect(user, connection) }
      for user in users {
        let isLinked = try await accounts.isLinked(googleSub: "sub-1")
        #expect(isLinked)
        _ = try await accounts.disconnect(user, actor: "key-1")
      }
      let isLinked = try await accounts.isLinked(googleSub: "sub-1")
      #expect(!isLinked)
      for succeeded in [true, false] {
        try await accounts.noteRevocation(users[0], succeeded: succeeded, actor: "key-1")
      }
      #expect(
        try database.execute(
          "SELECT tenant_id, user_id, actor, outcome FROM audit_events WHERE action = 'gmail.revoked' ORDER BY outcome")
          == [["default", "ann", "key-1", "failed"], ["default", "ann", "key-1", "success"]])
    }
  }

  @Test("Two users of one Google account who leave at once: exactly one is the last")
  func disconnectRace() async throws {
    let connection = connection()
    try await withStores { _, accounts, pool, _ in
      for round in 0..<10 {
        let users = ["a\(round)", "b\(round)"].map { UserKey(tenant: "default", user: $0) }
        for user in users { try await accounts.connect(user, connection) }
        var tasks: [Task<Bool, any Error>] = []
        for user in users {
          tasks.append(
            pool.reactor.spawn { try await accounts.disconnect(user, actor: "k")?.wasLastLink ?? false })
        }
        var lastLinks = 0
        for task in tasks where try await task.value { lastLinks += 1 }
        #expect(lastLinks == 1)
      }
    }
  }

  @Test("Every change is told to those who listen")
  func notices() async throws {
    let (user, connection) = (user, connection())
    try await withStores { _, accounts, pool, _ in
      let feed = ConnectionFeed(reactor: pool.reactor)
      let listener = pool.listen(ConnectionNotice.channel) { event in
        switch event {
        case .listening: feed.listeningBegan()
        case .notification(let payload): ConnectionNotice(payload: payload).map(feed.publish)
        }
      }
      let watcher = try await feed.watch()
      try await accounts.connect(user, connection)
      let account = try #require(try await accounts.find(user))
      _ = try await accounts.requireReauth(user, of: account, reason: "invalid_grant")
      _ = try await accounts.disconnect(user, actor: "k")
      var seen: [ConnectionNotice] = []
      while seen.count < 3 { seen += try await feed.next(watcher) }
      #expect(
        seen == [
          ConnectionNotice(user: user, status: .active, grantVersion: 1),
          ConnectionNotice(user: user, status: .reauthRequired, grantVersion: 1),
          ConnectionNotice(user: user, status: .disconnected, grantVersion: 2),
        ])
      feed.end(watcher)
      await listener.close()
    }
  }
}

@Suite("Watching")
struct ConnectionFeedTests {
  private func withFeed(_ body: @escaping @Sendable (ConnectionFeed) async throws -> Void) async throws {
    try await onLoop { try await body(ConnectionFeed(reactor: $0)) }
  }

  private var notice: ConnectionNotice {
    ConnectionNotice(user: UserKey(tenant: "t", user: "u"), status: .active, grantVersion: 1)
  }

  @Test("A watcher that does not read is dropped at the limit")
  func overflow() async throws {
    let notice = notice
    try await withFeed { feed in
      feed.listeningBegan()
      let watcher = try await feed.watch()
      for _ in 0..<ConnectionFeed.queueLimit { feed.publish(notice) }
      let all = try await feed.next(watcher)
      #expect(all.count == ConnectionFeed.queueLimit)
      for _ in 0...ConnectionFeed.queueLimit { feed.publish(notice) }
      await #expect(throws: ConnectionFeed.Lost.self) { try await feed.next(watcher) }
    }
  }

  @Test("When notices may have been missed every watch ends")
  func missed() async throws {
    try await withFeed { feed in
      feed.listeningBegan()
      let watcher = try await feed.watch()
      feed.listeningBegan()
      await #expect(throws: ConnectionFeed.Lost.self) { try await feed.next(watcher) }
    }
  }
}
