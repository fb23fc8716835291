import CivilTime
import Foundation
import ServiceContracts
import ServiceKit
import Testing

@testable import EdgeService

@Suite("What a credential is worth")
struct CredentialTests {
  private static let profile = "/v1/users/u/profile"

  /// A token as our own keys sign it.
  private static func token(_ key: APIKey, tenant: String = "default", scopes: Set<Scope>) throws -> String {
    UserToken(
      tenant: tenant, user: try #require(UserID("u")), keyID: key.id, scopes: scopes,
      expiresAt: .now() + .seconds(60)
    ).signed(with: EdgeSite.tokenKeys)
  }

  @Test("A key lives until its end, and not in that microsecond")
  func keyEnd() {
    let key = StoredKey(
      tenant: "t", environment: "live", authenticator: [], scopes: [], expiresAt: 1000, isRevoked: false,
      isTenantDisabled: false)
    #expect(key.isLive(at: 999) && !key.isLive(at: 1000))
  }

  @Test("A token lives until its end, and not in that microsecond")
  func tokenEnd() throws {
    let end = Timestamp(seconds: 1000)
    let token = UserToken(
      tenant: "t", user: try #require(UserID("u")), keyID: "k", scopes: [.read], expiresAt: end)
    let text = token.signed(with: EdgeSite.tokenKeys)
    #expect(UserToken(text, keys: EdgeSite.tokenKeys, now: Timestamp(microseconds: end.microseconds - 1)) == token)
    #expect(UserToken(text, keys: EdgeSite.tokenKeys, now: end) == nil)
  }

  @Test("Two Authorization fields are none, though both are right")
  func twoFields() async throws {
    let site = try await EdgeSite()
    let field = ["Authorization": "Bearer \(site.key.revealed)"]
    #expect(await site.send("GET", Self.profile, key: nil, headers: field).status == 200)
    let two = await site.send("GET", Self.profile, headers: field)
    #expect(two.status == 401 && two.code == "invalid_credential")
    #expect(site.seen.count == 1)
    await site.stop()
  }

  @Test("A token of another tenant than its key's is worth nothing")
  func foreignKey() async throws {
    let site = try await EdgeSite()
    let (key, scopes) = (site.key, Set<Scope>([.read]))
    let own = try Self.token(key, scopes: scopes)
    #expect(await site.send("GET", Self.profile, key: own).status == 200)
    let foreign = try Self.token(key, tenant: "other", scopes: scopes)
    #expect(await site.send("GET", Self.profile, key: foreign).code == "invalid_credential")
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, scopes, tenant: "other") }
    #expect(await site.send("GET", Self.profile, key: own).code == "invalid_credential")
    #expect(await site.send("GET", Self.profile, key: foreign).status == 200)
    #expect(site.seen.last.context.tenantID == "other")
    await site.stop()
  }

  @Test("What its key has lost since, a token has lost too; what reaches beyond one user it never has")
  func lostScopes() async throws {
    let site = try await EdgeSite()
    let key = site.key
    let token = try Self.token(key, scopes: [.read, .send, .admin, .summary])
    #expect(await site.send("GET", Self.profile, key: token).status == 200)
    #expect(site.seen.last.context.scopes == ["read", "send"])
    for path in ["/v1/suppressions", "/v1/reports/summary"] {
      #expect(await site.send("GET", path, key: token).code == "missing_scope")
    }
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, [.send, .connect]) }
    #expect(await site.send("GET", Self.profile, key: token).code == "missing_scope")
    let mail = #"{"to":["a@b.example"],"body":"x"}"#
    #expect(await site.send("POST", "/v1/users/u/messages", mail, key: token).status == 200)
    #expect(site.seen.last.context.scopes == ["send"])
    await site.stop()
  }

  @Test("A key gives a token no scope that it lacks itself")
  func lackedScope() async throws {
    let site = try await EdgeSite()
    let key = site.key
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, [.connect, .read, .admin]) }
    let refused = await site.send("POST", "/v1/users/u/tokens", #"{"scopes":["read","send"]}"#)
    #expect(refused.status == 403 && refused.code == "missing_scope")
    #expect((refused.json["error"] as? String)?.contains("\"send\"") == true)
    let minted = await site.send("POST", "/v1/users/u/tokens", "{}")
    #expect(minted.json["scopes"] as? [String] == ["connect", "read"])
    // Nothing is left for a token of a key that may mint and else only what tokens never have.
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, [.admin]) }
    #expect(await site.send("POST", "/v1/users/u/tokens", "{}").code == "missing_scope")
    await site.stop()
  }

  @Test("A call that is cancelled while its credential is looked up is answered 503, to be tried again")
  func cancelled() async throws {
    let site = try await EdgeSite()
    await site.change { $0.failure = CancellationError() }
    let reply = await site.send("GET", Self.profile)
    #expect(reply.status == 503 && reply.code == "unavailable" && reply.headers["retry-after"] == "1")
    await site.stop()
  }
}
