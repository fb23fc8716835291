import CivilTime
import EventLoop
import TLSSession
import TestSupport
import Testing

@testable import OAuthService

@Suite("Access tokens")
struct TokenKeeperTests {
  /// Runs a test on a loop with a connected account.
  private func withKeeper(_ body: @escaping @Sendable (World, TokenKeeper, Reactor) async throws -> Void) async throws {
    try await onLoop { reactor in
      let world = try World()
      try await world.connect()
      try await body(world, world.keeper(reactor), reactor)
    }
  }

  private func expect(
    _ token: SecretBytes, of user: UserKey, from keeper: TokenKeeper, _ demand: TokenDemand,
    at location: SourceLocation = #_sourceLocation
  ) async throws {
    let answered = try await keeper.accessToken(of: user, demand).token
    #expect(answered == token, sourceLocation: location)
  }

  @Test("A token that lives long enough is answered without asking Google")
  func cached() async throws {
    try await withKeeper { world, keeper, _ in
      let (token, account) = try await keeper.accessToken(of: world.user, TokenDemand())
      #expect(token == SecretBytes("access-1"))
      #expect(account.tokenVersion == 1)
      #expect(world.google.refreshed.isEmpty)
    }
  }

  @Test("A token that ends within the demanded time is refreshed; just beyond it, it is not")
  func lifetime() async throws {
    try await withKeeper { world, keeper, _ in
      world.google.answers = [grant()]
      var demand = TokenDemand()
      demand.minimumLifetime = .seconds(300)
      world.now = world.now + .seconds(3299)
      try await expect(SecretBytes("access-1"), of: world.user, from: keeper, demand)
      world.now = world.now + .seconds(1)
      let (token, account) = try await keeper.accessToken(of: world.user, demand)
      #expect(token == SecretBytes("access-2"))
      #expect(account.tokenVersion == 2)
      #expect(world.google.refreshed == ["refresh-1"])
      #expect(world.vault.grants[world.user]?.refreshToken == SecretBytes("refresh-1"), "no needless secret write")
    }
  }

  @Test("A refreshed token lives as long as Google says, and not a moment longer")
  func refreshedLifetime() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant(), grant(access: "access-3")]
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
      world.now = world.now + .seconds(3539)
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
      world.now = world.now + .seconds(1)
      try await expect(SecretBytes("access-3"), of: world.user, from: keeper, TokenDemand())
      #expect(world.accounts.rows[world.user]?.accessTokenExpiry == world.now + .seconds(3600))
    }
  }

  @Test("A thousand callers on three keepers lead to one refresh")
  func singleFlight() async throws {
    try await withKeeper { world, first, reactor in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      world.google.duringRequest = { try await reactor.sleep(for: .milliseconds(120)) }
      let keepers = [first, world.keeper(reactor), world.keeper(reactor)]
      let user = world.user
      var tasks: [Task<Bool, any Error>] = []
      for index in 0..<1000 {
        let keeper = keepers[index % 3]
        tasks.append(
          reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token == SecretBytes("access-2") })
      }
      for task in tasks {
        let isFresh = try await task.value
        #expect(isFresh)
      }
      #expect(world.google.refreshed.count == 1)
      // Each looks once for itself; then they wait together.
      #expect(world.accounts.looks < 1100)
    }
  }

  @Test("A refused token is refreshed once; a report about an older one is old news")
  func refusal() async throws {
    try await withKeeper { world, keeper, _ in
      world.google.answers = [grant()]
      var demand = TokenDemand()
      demand.refused = (version: 1, how: .invalid)
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, demand)
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, demand)
      #expect(world.google.refreshed.count == 1)
    }
  }

  @Test("A missing scope makes the account ask for consent again")
  func insufficientScope() async throws {
    try await withKeeper { world, keeper, _ in
      var demand = TokenDemand()
      demand.refused = (version: 1, how: .insufficientScope)
      await #expect(throws: OAuthFailure.reauthRequired) { try await keeper.accessToken(of: world.user, demand) }
      #expect(world.accounts.rows[world.user]?.reauthReason == "insufficient_scope")
      #expect(world.google.refreshed.isEmpty)
    }
  }

  @Test("A dead grant is remembered: Google is not asked again")
  func dead() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [.dead(reason: "invalid_grant")]
      for _ in 0..<2 {
        await #expect(throws: OAuthFailure.reauthRequired) {
          try await keeper.accessToken(of: world.user, TokenDemand())
        }
      }
      #expect(world.accounts.rows[world.user]?.reauthReason == "invalid_grant")
      #expect(world.google.refreshed.count == 1)
    }
  }

  @Test("A grant is not called dead when a new consent came while Google was asked")
  func supersededGrant() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [.dead(reason: "invalid_grant")]
      world.google.duringRequest = { try await world.connect(refreshToken: "refresh-2") }
      try await expect(SecretBytes("access-1"), of: world.user, from: keeper, TokenDemand())
      #expect(world.accounts.rows[world.user]?.status == .active)
      #expect(world.accounts.rows[world.user]?.grantVersion == 2)
    }
  }

  @Test("A grant is not called dead when another process has written a newer secret meanwhile")
  func supersededSecret() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [.dead(reason: "invalid_grant"), grant()]
      world.google.duringRequest = {
        world.vault.grants[world.user] = StoredGrant(refreshToken: SecretBytes("refresh-2"), googleSub: "sub-1")
      }
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
      #expect(world.google.refreshed == ["refresh-1", "refresh-2"])
    }
  }

  @Test("A refresh that comes back without the scope to send asks for consent again")
  func lostScope() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant(scopes: ["openid", "email"])]
      await #expect(throws: OAuthFailure.reauthRequired) { try await keeper.accessToken(of: world.user, TokenDemand()) }
      #expect(world.accounts.rows[world.user]?.reauthReason == "insufficient_scope")
    }
  }

  @Test("A row that moves under every refresh is given up after a few")
  func movingRow() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = (0..<20).map { _ in grant() }
      world.google.duringRequest = { world.accounts.rows[world.user]?.tokenVersion += 1 }
      await #expect(throws: OAuthFailure.googleUnavailable) {
        try await keeper.accessToken(of: world.user, TokenDemand())
      }
      #expect(world.google.refreshed.count == 6)
    }
  }

  @Test("A refresh that ends after a disconnect writes nothing")
  func lateRefresh() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      world.google.duringRequest = { try await world.disconnector().disconnect(world.user, actor: "test") }
      await #expect(throws: OAuthFailure.notConnected) { try await keeper.accessToken(of: world.user, TokenDemand()) }
      #expect(world.accounts.rows[world.user]?.sealedAccessToken == nil)
    }
  }

  @Test("Google's bad days and our own wrong set-up kill no account, and the lease is given back")
  func unavailable() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      for answer in [TokenAnswer.unavailable, .misconfigured(error: "invalid_client")] {
        world.google.answers = [answer]
        await #expect(throws: OAuthFailure.googleUnavailable) {
          try await keeper.accessToken(of: world.user, TokenDemand())
        }
        #expect(world.accounts.rows[world.user]?.status == .active)
        #expect(world.accounts.rows[world.user]?.refreshLease == nil)
      }
      world.vault.isAway = true
      await #expect(throws: OAuthFailure.vaultUnavailable) {
        try await keeper.accessToken(of: world.user, TokenDemand())
      }
      world.vault.isAway = false
      world.google.answers = [grant()]
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
    }
  }

  @Test("With the vault away a token that still lives goes on to be answered")
  func vaultAway() async throws {
    try await withKeeper { world, keeper, _ in
      world.vault.isAway = true
      try await expect(SecretBytes("access-1"), of: world.user, from: keeper, TokenDemand())
    }
  }

  @Test("A rotated refresh token is kept")
  func rotation() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant(refresh: "refresh-2")]
      _ = try await keeper.accessToken(of: world.user, TokenDemand())
      #expect(world.vault.grants[world.user]?.refreshToken == SecretBytes("refresh-2"))
    }
  }

  @Test("A rotated refresh token is kept before the row is written, and so when the row has moved meanwhile")
  func rotationOfMovedRow() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant(refresh: "refresh-2"), grant(access: "access-3")]
      var hasMoved = false
      world.google.duringRequest = {
        if !hasMoved { world.accounts.rows[world.user]?.tokenVersion += 1 }
        hasMoved = true
      }
      try await expect(SecretBytes("access-3"), of: world.user, from: keeper, TokenDemand())
      #expect(world.google.refreshed == ["refresh-1", "refresh-2"])
    }
  }

  @Test("A refresh token that comes again is not written again")
  func sameRefreshToken() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant(refresh: "refresh-1")]
      let writes = world.vault.writes
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
      #expect(world.vault.writes == writes)
    }
  }

  @Test("A secret that names no Google account is its user's; one that is missing ends the connection")
  func olderSecret() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      world.vault.grants[world.user] = StoredGrant(refreshToken: SecretBytes("refresh-0"), googleSub: nil)
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
      #expect(world.google.refreshed == ["refresh-0"])
      world.now = world.now + .seconds(4000)
      world.vault.grants[world.user] = nil
      await #expect(throws: OAuthFailure.reauthRequired) { try await keeper.accessToken(of: world.user, TokenDemand()) }
      #expect(world.accounts.rows[world.user]?.reauthReason == "secret_missing")
      #expect(world.google.refreshed.count == 1)
    }
  }

  @Test("While another process refreshes its token is waited for; a lease that has lapsed is taken over")
  func othersLease() async throws {
    try await withKeeper { world, keeper, reactor in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      let account = try #require(world.accounts.rows[world.user])
      let isTaken = try await world.accounts.takeRefreshLease(
        world.user, of: account, owner: "another", lease: TokenKeeper.lease)
      #expect(isTaken)
      let user = world.user
      let looks = world.accounts.looks
      let caller = reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token }
      while world.accounts.looks < looks + 2 { await reactor.yield() }
      #expect(world.google.refreshed.isEmpty)
      // The other one has died.
      world.now = world.now + TokenKeeper.lease
      let token = try await caller.value
      #expect(token == SecretBytes("access-2"))
      #expect(world.google.refreshed.count == 1)
    }
  }

  @Test("A secret of another Google account is never used")
  func foreignSecret() async throws {
    try await withKeeper { world, keeper, _ in
      world.now = world.now + .seconds(4000)
      _ = try await world.vault.put(
        StoredGrant(refreshToken: SecretBytes("of-another"), googleSub: "sub-2"), for: world.user)
      await #expect(throws: OAuthFailure.reauthRequired) { try await keeper.accessToken(of: world.user, TokenDemand()) }
      #expect(world.google.refreshed.isEmpty)
      #expect(world.accounts.rows[world.user]?.reauthReason == "secret_mismatch")
    }
  }

  @Test("A token sealed under a key that is gone is replaced by a fresh one")
  func lostKey() async throws {
    try await withKeeper { world, keeper, _ in
      let other = KeyringSealer(Keyring(generating: "other"))
      world.accounts.rows[world.user]?.sealedAccessToken = try other.seal(
        SecretBytes("x"), .accessToken, world.user)
      world.google.answers = [grant()]
      try await expect(SecretBytes("access-2"), of: world.user, from: keeper, TokenDemand())
    }
  }

  @Test("A user who never connected has no token")
  func neverConnected() async throws {
    try await withKeeper { world, keeper, _ in
      await #expect(throws: OAuthFailure.notConnected) {
        try await keeper.accessToken(of: UserKey(tenant: "default", user: "nobody"), TokenDemand())
      }
    }
  }

  @Test("A caller that is cancelled leaves; the refresh goes on for the others")
  func cancellation() async throws {
    try await withKeeper { world, keeper, reactor in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      world.google.duringRequest = { try await reactor.sleep(for: .milliseconds(50)) }
      let user = world.user
      let first = reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token }
      let second = reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token }
      await reactor.yield()
      first.cancel()
      await #expect(throws: CancellationError.self) { try await first.value }
      let token = try await second.value
      #expect(token == SecretBytes("access-2"))
      #expect(world.google.refreshed.count == 1)
      await keeper.drain()
    }
  }

  @Test("A refresh whose only caller is gone goes on to its end, and is kept")
  func abandoned() async throws {
    try await withKeeper { world, keeper, reactor in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      var gate: Waiter<Void>?
      world.google.duringRequest = { try await reactor.wait { gate = $0 } }
      let user = world.user
      let caller = reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token }
      while gate == nil { await reactor.yield() }
      caller.cancel()
      await #expect(throws: CancellationError.self) { try await caller.value }
      let draining = reactor.spawn { await keeper.drain() }
      gate?.resume(returning: ())
      try await draining.value
      #expect(world.accounts.rows[user]?.tokenVersion == 2 && world.accounts.rows[user]?.refreshLease == nil)
      try await expect(SecretBytes("access-2"), of: user, from: keeper, TokenDemand())
      #expect(world.google.refreshed.count == 1)
    }
  }

  @Test("A refresh that is broken off is told to all who wait, gives its lease back, and the next caller's is another")
  func brokenOff() async throws {
    try await withKeeper { world, keeper, reactor in
      world.now = world.now + .seconds(4000)
      world.google.answers = [grant()]
      world.google.duringRequest = {
        await reactor.yield()
        throw CancellationError()
      }
      let user = world.user
      let callers = (0..<3).map { _ in
        reactor.spawn { try await keeper.accessToken(of: user, TokenDemand()).token }
      }
      for caller in callers { await #expect(throws: CancellationError.self) { try await caller.value } }
      #expect(world.google.refreshed.count == 1 && world.accounts.rows[user]?.refreshLease == nil)
      world.google.duringRequest = {}
      try await expect(SecretBytes("access-2"), of: user, from: keeper, TokenDemand())
    }
  }
}

@Suite("Disconnecting")
struct DisconnectorTests {
  let world: World

  init() throws { world = try World() }

  @Test("The last link to a Google account revokes it, and the secret goes")
  func lastLink() async throws {
    try await world.connect()
    try await world.disconnector().disconnect(world.user, actor: "key-1")
    #expect(world.google.revoked == ["refresh-1"])
    #expect(world.vault.grants.isEmpty)
    #expect(world.accounts.rows[world.user]?.status == .disconnected)
    #expect(world.accounts.audit == ["connected", "disconnected", "revoked"])
  }

  @Test("While another user shares the Google account nothing is revoked")
  func sharedAccount() async throws {
    let other = UserKey(tenant: "other", user: "u2")
    try await world.connect()
    try await world.connect(other, refreshToken: "refresh-2")
    try await world.disconnector().disconnect(world.user, actor: "key-1")
    #expect(world.google.revoked.isEmpty)
    #expect(world.vault.grants[world.user] == nil)
    #expect(world.vault.grants[other] != nil)
    try await world.disconnector().disconnect(other, actor: "key-1")
    #expect(world.google.revoked == ["refresh-2"])
  }

  @Test("A second time does nothing, and so does a first time for a stranger")
  func twice() async throws {
    try await world.connect()
    for _ in 0..<2 { try await world.disconnector().disconnect(world.user, actor: "key-1") }
    try await world.disconnector().disconnect(UserKey(tenant: "default", user: "nobody"), actor: "key-1")
    #expect(world.google.revoked.count == 1)
    #expect(world.accounts.audit.count { $0 == "disconnected" } == 1)
  }

  @Test("A call that broke off is finished by the next one")
  func brokenOff() async throws {
    try await world.connect()
    world.vault.isAway = true
    await #expect(throws: OAuthFailure.vaultUnavailable) {
      try await world.disconnector().disconnect(world.user, actor: "key-1")
    }
    #expect(world.accounts.rows[world.user]?.status == .disconnected)
    world.vault.isAway = false
    try await world.disconnector().disconnect(world.user, actor: "key-1")
    #expect(world.vault.grants.isEmpty)
    #expect(world.google.revoked == ["refresh-1"])
  }

  @Test("When Google cannot be reached the secret goes all the same, and the audit says so")
  func googleAway() async throws {
    try await world.connect()
    world.google.revocationWorks = false
    try await world.disconnector().disconnect(world.user, actor: "key-1")
    #expect(world.vault.grants.isEmpty)
    #expect(world.accounts.audit.last == "revocation_failed")
  }

  @Test("A secret of a consent that came while Google was asked to revoke stays")
  func reconnectedMeanwhile() async throws {
    try await world.connect()
    let world = world
    world.google.duringRevocation = { try await world.connect(refreshToken: "refresh-2") }
    try await world.disconnector().disconnect(world.user, actor: "key-1")
    #expect(world.vault.grants[world.user]?.refreshToken == SecretBytes("refresh-2"))
    #expect(world.accounts.rows[world.user]?.status == .active)
  }
}
