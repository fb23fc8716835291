import CivilTime
import MailSyntax
import Testing

@testable import MailerService

@Suite("Access tokens in memory")
struct TokenCacheTests {
  private let now = Timestamp(seconds: 1_800_000_000)
  private let ann = UserKey(tenantID: "acme", userID: "ann")
  private let cache = TokenCache()

  private func keep(
    _ version: Int64, grant: Int64 = 1, of user: UserKey? = nil, for time: Duration = .seconds(3600),
    since drops: UInt64? = nil
  ) throws {
    let user = user ?? ann
    let account = MailAccount(googleSub: "sub", grantVersion: grant, address: try MailAddress("ann@example.com"))
    cache.keep(
      AccessToken(account: account, token: "secret", version: version, expiresAt: now + time), of: user, now: now,
      since: drops ?? cache.drops(of: user))
  }

  private var kept: Int64? { cache.token(of: ann, now: now)?.version }

  @Test("A token is used while more than a minute of it is left")
  func reserve() throws {
    try keep(1, for: .seconds(61))
    #expect(kept == 1)
    #expect(cache.token(of: ann, now: now + .seconds(1)) == nil)
  }

  @Test("An older token takes no newer one's place, and one of an older consent none of a newer one's")
  func newer() throws {
    try keep(2)
    try keep(1)
    #expect(kept == 2)
    try keep(1, grant: 2)
    #expect(kept == 1)
    try keep(3, grant: 1)
    #expect(kept == 1)
  }

  @Test("A refusal forgets the token that was refused, and no other")
  func refused() throws {
    try keep(2)
    cache.drop(ann, version: 1)
    #expect(kept == 2)
    cache.drop(ann, version: 2)
    #expect(kept == nil)
  }

  @Test("What was on its way when its user was forgotten is not kept: he may have disconnected")
  func forgottenMeanwhile() throws {
    var asked = cache.drops(of: ann)
    cache.drop(ann)
    try keep(1, since: asked)
    #expect(kept == nil)
    asked = cache.drops(of: ann)
    cache.dropAll()
    try keep(1, since: asked)
    #expect(kept == nil)
    try keep(2)
    #expect(kept == 2)
  }

  @Test("What is on its way for other users is kept when one is forgotten")
  func othersOnTheirWay() throws {
    let others = (0..<20).map { UserKey(tenantID: "acme", userID: "user-\($0)") }
    let asked = others.map { cache.drops(of: $0) }
    cache.drop(ann)
    for (user, asked) in zip(others, asked) { try keep(1, of: user, since: asked) }
    // A few may share her place.
    #expect(others.count { cache.token(of: $0, now: now) != nil } >= 15)
  }
}
