import CivilTime
import Foundation
import HTTPTypes
import ServiceContracts
import TLSSession
import Testing

@testable import EdgeService
@testable import ServiceKit

@Suite("Who may call")
struct AccessTests {
  @Test("The order of refusals is 401, 404, 405, 403, then the body")
  func order() async throws {
    let site = try await EdgeSite()
    let send = "/v1/users/u/messages"
    let none = await site.send("POST", "/v1/nothing", "{", key: nil)
    #expect(none.status == 401 && none.headers["www-authenticate"] == "Bearer" && none.code == "credential_required")
    #expect(await site.send("PUT", send, "{", key: nil).status == 401)
    #expect(await site.send("GET", "/v1/nothing").status == 404)
    let method = await site.send("PUT", send, "{")
    #expect(method.status == 405 && method.headers["allow"] == "POST, GET, HEAD")
    #expect(await site.send("POST", send, "{", key: site.readOnlyKey.revealed).code == "missing_scope")
    #expect(await site.send("POST", send, "{").status == 400)
    #expect(await site.send("GET", "/nothing", key: nil).status == 404)
    #expect(await site.send("POST", "/v1/openapi.json", "{}", key: nil).status == 405)
    #expect(site.seen.count == 0)
    await site.stop()
  }

  @Test("Credentials that are not exactly right are refused alike")
  func badCredentials() async throws {
    let site = try await EdgeSite()
    let good = site.key.revealed
    let stranger = APIKey(generating: .live).revealed
    let swapped = good.replacingOccurrences(of: "_live_", with: "_test_")
    let wrongSecret = String(good.dropLast()) + (good.hasSuffix("A") ? "B" : "A")
    for key in [stranger, swapped, wrongSecret, good + "A", "emct_x.y", "x", "emcp_live__"] {
      let reply = await site.send("GET", "/v1/users/u/profile", key: key)
      #expect(reply.status == 401 && reply.code == "invalid_credential", "\(key.prefix(12))")
      #expect(reply.headers["www-authenticate"] == "Bearer error=\"invalid_token\"")
    }
    #expect(
      await site.send("GET", "/v1/users/u/profile", key: nil, headers: ["Authorization": "Basic \(good)"]).status == 401
    )
    #expect(
      await site.send("GET", "/v1/users/u/profile", key: nil, headers: ["Authorization": "bearer \(good)"]).status
        == 200)
    await site.stop()
  }

  @Test("A revoked key, an expired one and a database that is away")
  func deadKeys() async throws {
    let site = try await EdgeSite()
    let key = site.key
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, [.read], isRevoked: true) }
    #expect(await site.send("GET", "/v1/users/u/profile").status == 401)
    await site.change {
      $0.keys[key.id] = StoredKey(
        tenant: "default", environment: "live", authenticator: key.authenticator(peppers: EdgeSite.peppers),
        scopes: [.read], expiresAt: Timestamp.now().microseconds - 1, isRevoked: false, isTenantDisabled: false)
    }
    #expect(await site.send("GET", "/v1/users/u/profile").status == 401)
    await site.change { $0.failure = CocoaError(.fileReadUnknown) }
    let away = await site.send("GET", "/v1/users/u/profile")
    #expect(away.status == 503 && away.headers["retry-after"] == "1")
    await site.stop()
  }

  @Test("A key lives on when a new pepper stands before its own, and ends with its own")
  func rotatedPepper() async throws {
    let newer = Keyring(generating: "p2")
    let both = try Keyring(peppers: "\(newer.revealedText),\(EdgeSite.peppers.revealedText)")
    for (peppers, status) in [(both, 200), (newer, 401)] {
      let site = try await EdgeSite(peppers: peppers)
      #expect(await site.send("GET", "/v1/users/u/profile").status == status)
      await site.stop()
    }
  }

  @Test("The credentials of a disabled tenant are refused by name, and to nobody else")
  func disabledTenant() async throws {
    let site = try await EdgeSite()
    let key = site.key
    let minted = await site.send("POST", "/v1/users/u/tokens", #"{"scopes":["read"]}"#)
    let token = try #require(minted.json["token"] as? String)
    let stranger = String(key.revealed.dropLast()) + (key.revealed.hasSuffix("A") ? "B" : "A")
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, Set(Scope.allCases), isTenantDisabled: true) }
    for credential in [key.revealed, token] {
      let refused = await site.send("GET", "/v1/users/u/profile", key: credential)
      #expect(refused.status == 403 && refused.code == "tenant_disabled")
    }
    #expect(await site.send("GET", "/v1/users/u/profile", key: stranger).code == "invalid_credential")
    await site.change {
      $0.keys[key.id] = EdgeSite.stored(key, Set(Scope.allCases), isRevoked: true, isTenantDisabled: true)
    }
    #expect(await site.send("GET", "/v1/users/u/profile").code == "invalid_credential")
    await site.stop()
  }

  @Test("The services learn tenant, user, key and scopes from the signed context alone")
  func context() async throws {
    let site = try await EdgeSite()
    let reply = await site.send(
      "GET", "/v1/users/a%2Fb%20%C3%A9/profile", headers: ["X-Request-Id": "req-1"])
    #expect(reply.status == 200 && reply.headers["x-request-id"] == "req-1")
    let context = site.seen.last.context
    #expect(context.tenantID == "default" && context.userID == "a/b é" && context.credentialID == site.key.id)
    #expect(context.issuer == "edge" && context.credentialKind == .apiKey && context.scopes.contains("admin"))
    #expect(site.seen.last.requestID == "req-1")
    let replaced = await site.send("GET", "/v1/users/u/profile", headers: ["X-Request-Id": "no good!"])
    #expect(replaced.headers["x-request-id"]?.count == 32)
    await site.stop()
  }

  @Test("A user token is bound to its user and its scopes, and mints nothing")
  func userToken() async throws {
    let site = try await EdgeSite()
    let minted = await site.send("POST", "/v1/users/u1/tokens", #"{"scopes":["read","connect"],"expires_in":60}"#)
    #expect(minted.status == 201 && minted.json["scopes"] as? [String] == ["connect", "read"])
    let token = try #require(minted.json["token"] as? String)
    #expect(await site.send("GET", "/v1/users/u1/profile", key: token).status == 200)
    #expect(site.seen.last.context.credentialKind == .userToken && site.seen.last.context.credentialID == site.key.id)
    let other = await site.send("GET", "/v1/users/u2/profile", key: token)
    let missing = await site.send("GET", "/v1/users/u1/messages/none", key: token)
    #expect(
      other.status == 404 && other.code == missing.code
        && other.json["error"] as? String == missing.json["error"] as? String)
    #expect(await site.send("POST", "/v1/users/u1/messages", "{}", key: token).code == "missing_scope")
    #expect(await site.send("POST", "/v1/users/u1/tokens", "{}", key: token).code == "api_key_required")
    #expect(await site.send("GET", "/v1/reports/summary", key: token).status == 403)
    let start = #"{"user_id":"u2","redirect_url":"https://crm.example/done"}"#
    #expect(await site.send("POST", "/v1/oauth/authorize", start, key: token).status == 404)
    // It dies with its key.
    let key = site.key
    await site.change { $0.keys[key.id] = EdgeSite.stored(key, Set(Scope.allCases), isRevoked: true) }
    #expect(await site.send("GET", "/v1/users/u1/profile", key: token).status == 401)
    await site.stop()
  }

  @Test("What a key lacks, or what only keys may have, is not minted")
  func mintLimits() async throws {
    let site = try await EdgeSite()
    for body in [#"{"scopes":["admin"]}"#, #"{"scopes":["reports:summary"]}"#] {
      #expect(await site.send("POST", "/v1/users/u/tokens", body).status == 403)
    }
    for body in [#"{"expires_in":0}"#, #"{"expires_in":3601}"#, #"{"scopes":["all"]}"#, #"{"scopes":[]}"#, #"{"x":1}"#]
    {
      #expect(await site.send("POST", "/v1/users/u/tokens", body).status == 400, "\(body)")
    }
    let minted = await site.send("POST", "/v1/users/u/tokens", "{}")
    #expect(minted.json["scopes"] as? [String] == ["connect", "read", "reports", "send"])
    await site.stop()
  }

  @Test("A token is only good unchanged, in time, and under a key that we have")
  func tokenForgery() throws {
    let keys = Keyring(generating: "a")
    let now = Timestamp(seconds: 1_000)
    let token = UserToken(
      tenant: "t", user: try #require(UserID("u")), keyID: "k", scopes: [.read], expiresAt: now + .seconds(10))
    let text = token.signed(with: keys)
    #expect(UserToken(text, keys: keys, now: now) == token)
    #expect(UserToken(text, keys: keys, now: now + .seconds(10)) == nil)
    #expect(UserToken(text, keys: Keyring(generating: "a"), now: now) == nil)
    let rotated = try Keyring(parsing: Keyring(generating: "b").revealedText + "," + keys.revealedText)
    #expect(UserToken(text, keys: rotated, now: now) == token)
    for index in text.indices {
      var forged = text
      forged.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
      #expect(UserToken(forged, keys: keys, now: now) == nil)
    }
  }

  @Test("Above the rate: 429 with the rate and the time to wait")
  func rates() async throws {
    let site = try await EdgeSite(ratePerKey: 3, ratePerUser: 3)
    await site.stopClock()  // on a busy machine a lease would lapse between the requests
    await site.change { $0.budget = 5 }  // of bursts so small that none is lent
    #expect(await site.send("GET", "/v1/users/u/profile").status == 200)
    #expect(await site.send("GET", "/v1/users/u/profile").status == 200)
    let refused = await site.send("GET", "/v1/users/u/profile")
    #expect(refused.status == 429 && refused.headers["retry-after"] == "2")
    #expect(refused.headers["ratelimit-policy"] == "\"user\";q=3;w=1")
    #expect(refused.headers["ratelimit"] == "\"user\";r=0;t=2")
    #expect(site.seen.count == 2)
    await site.stop()
  }

  @Test("A lease admits what it was granted, forgets it in time, and does not ask while it is blocked")
  func lease() {
    var lease = TokenLease()
    let ask = TokenLease.Ask(want: 3, pays: false)
    func decide(at now: UInt64) -> TokenLease.Decision { lease.decide(batch: 3, givesCredit: false, now: now) }
    #expect(decide(at: 0) == .ask(ask))
    lease.granted(3, to: ask, retryAfter: 0, now: 0)
    #expect(lease.claim(now: 0) == .admit)
    #expect([1, 2, 3].map(decide) == [.admit, .admit, .ask(ask)])
    lease.granted(3, to: ask, retryAfter: 0, now: 3)
    #expect(decide(at: 3 + TokenLease.lifetime) == .ask(ask))
    lease.granted(0, to: ask, retryAfter: 5_000_000, now: 10)
    #expect(lease.claim(now: 10) == .refuse(5_000_000))
    #expect([11, 5_000_010].map(decide) == [.refuse(4_999_999), .ask(ask)])
  }

  @Test("Of requests that come at once the first asks ahead; one that gets nothing stops nobody while there are tokens")
  func crowd() {
    var lease = TokenLease()
    func decide(at now: UInt64) -> TokenLease.Decision { lease.decide(batch: 10, givesCredit: false, now: now) }
    let (ahead, own) = (TokenLease.Ask(want: 10, pays: false), TokenLease.Ask(want: 1, pays: false))
    #expect([0, 1, 2].map(decide) == [.ask(ahead), .ask(own), .ask(own)])
    lease.granted(10, to: ahead, retryAfter: 0, now: 3)
    #expect(lease.claim(now: 3) == .admit)
    lease.granted(0, to: own, retryAfter: 5_000_000, now: 4)
    #expect(lease.claim(now: 4) == .admit)
    lease.failed(own)
    #expect((5..<13).map(decide) == Array(repeating: .admit, count: 8))
    #expect(decide(at: 13) == .ask(ahead))
  }

  @Test("One request passes on credit; until the bucket has paid for it, all others ask for both")
  func credit() {
    var lease = TokenLease()
    func decide(at now: UInt64) -> TokenLease.Decision { lease.decide(batch: 1, givesCredit: true, now: now) }
    #expect(decide(at: 0) == .admitOnCredit)
    let both = TokenLease.Ask(want: 2, pays: true)
    #expect(decide(at: 1) == .ask(both))
    #expect(lease.settle(batch: 1) == nil, "it is being asked for")
    #expect(decide(at: 2) == .ask(TokenLease.Ask(want: 1, pays: false)))
    lease.failed(both)
    #expect(decide(at: 3) == .ask(both))
    lease.granted(1, to: both, retryAfter: 7_000_000, now: 4)
    #expect(lease.claim(now: 4) == .refuse(7_000_000), "the one token paid for the other")
    #expect(decide(at: 7_000_004) == .admitOnCredit)
    let settling = TokenLease.Ask(want: 1, pays: true)
    #expect(lease.settle(batch: 1) == settling)
    lease.granted(0, to: settling, retryAfter: 3_000_000, now: 8_000_000)
    #expect(decide(at: 9_000_000) == .refuse(2_000_000))
    #expect(decide(at: 11_000_000) == .ask(both), "no credit to who has not paid")
    lease.granted(2, to: both, retryAfter: 0, now: 11_000_001)
    #expect(lease.claim(now: 11_000_001) == .admit)
    #expect(decide(at: 11_000_002) == .admitOnCredit)
  }

  @Test("A burst of requests: what is admitted is what the bucket granted and one more, however the answers come")
  func creditIsBounded() {
    var random = SystemRandomNumberGenerator()
    var lease = TokenLease()
    var (now, admitted, granted): (UInt64, Int, Int) = (0, 0, 0)
    var asked: [(ask: TokenLease.Ask, isWaitedFor: Bool)] = []
    for _ in 0..<20_000 {
      now += UInt64.random(in: 0..<2_000_000, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0, 1:
        switch lease.decide(batch: 2, givesCredit: true, now: now) {
        case .admit, .admitOnCredit: admitted += 1
        case .ask(let ask): asked.append((ask, true))
        case .refuse: break
        }
      case 2: if let ask = lease.settle(batch: 2) { asked.append((ask, false)) }
      default:
        guard let place = asked.indices.randomElement(using: &random) else { continue }
        let (ask, isWaitedFor) = asked.remove(at: place)
        guard Int.random(in: 0..<8, using: &random) > 0 else {
          lease.failed(ask)
          continue
        }
        let count = Int.random(in: 0...ask.want, using: &random)
        granted += count
        lease.granted(count, to: ask, retryAfter: 1_000_000, now: now)
        if isWaitedFor, lease.claim(now: now) == .admit { admitted += 1 }
      }
      #expect(admitted <= granted + 1)
    }
    #expect(admitted > 1000)
  }

  @Test("Requests on credit are paid for together, soon; the bucket holds what replicas do not lend of the burst")
  func settling() async throws {
    let site = try await EdgeSite()
    await site.stopClock()  // on a busy machine the key's lease would lapse, and the key be asked for again
    var asked: [TokenAsk] = []
    for (user, count) in [("u", 2), ("v", 3)] {
      #expect(await site.send("GET", "/v1/users/\(user)/profile").status == 200)
      while asked.count < count {
        try await Task.sleep(for: .milliseconds(5))
        asked = await site.tokensAsked()
      }
    }
    func ask(_ bucket: String, perSecond: Double, burst: Int32, want: Int32) -> TokenAsk {
      TokenAsk(tenant: "default", bucket: bucket, perSecond: perSecond, burst: burst, want: want)
    }
    #expect(
      asked.sorted { $0.bucket < $1.bucket } == [
        ask("key:\(site.key.id)", perSecond: 100, burst: 175, want: 10),
        ask("user:u", perSecond: 10, burst: 18, want: 1), ask("user:v", perSecond: 10, burst: 18, want: 1),
      ])
    await site.stop()
  }

  @Test("What the database said of a key counts for five seconds, not longer")
  func cache() async throws {
    nonisolated(unsafe) var now: UInt64 = 0
    let memory = MemoryStore()
    let cached = CachingEdgeStore(memory, background: { _ in }) { now }
    _ = try await cached.key("k")
    now = 4_999_999_999
    _ = try await cached.key("k")
    #expect(memory.questions == 1)
    now = 5_000_000_000
    _ = try await cached.key("k")
    #expect(memory.questions == 2)
  }

  @Test("Strangers' keys, however many, push out none that is known, and are bounded in number")
  func cachedStrangers() async throws {
    let memory = MemoryStore()
    memory.keys["k"] = EdgeSite.stored(APIKey(generating: .live), [.read])
    let cached = CachingEdgeStore(memory, background: { _ in }) { 0 }
    #expect(try await cached.key("k") != nil)
    for number in 0...CachingEdgeStore.capacity { #expect(try await cached.key("\(number)") == nil) }
    let asked = memory.questions
    #expect(try await cached.key("k") != nil && memory.questions == asked)
    #expect(try await cached.key("0") == nil && memory.questions == asked + 1, "forgotten for room")
  }

  @Test("What was said of one tenant's origin is not said to another")
  func cachedOrigins() async throws {
    let memory = MemoryStore()
    memory.origins["https://crm.example"] = "acme"
    let cached = CachingEdgeStore(memory, background: { _ in }) { 0 }
    for tenant in ["acme", "other", nil] {
      #expect(try await cached.allowsOrigin("https://crm.example", tenant: tenant) == (tenant != "other"))
    }
  }

  @Test("Users are told apart by their bytes, not by what Unicode takes for equal")
  func userBytes() throws {
    let users = try ["\u{E9}", "e\u{301}"].map { try #require(UserID($0)) }
    #expect(users[0] != users[1] && Set(users).count == 2)
  }

  @Test("A loop's own buckets fill at their rate up to the burst, each by itself, and are bounded in number")
  func ownBuckets() {
    var buckets = OwnBuckets()
    func take(_ want: Int32, _ bucket: String = "a", at seconds: Double) -> (Int, Duration) {
      buckets.take(
        TokenAsk(tenant: "t", bucket: bucket, perSecond: 2, burst: 4, want: want), now: UInt64(seconds * 1e9))
    }
    #expect(take(3, at: 10) == (3, .zero) && take(3, at: 10) == (1, .milliseconds(500)))
    #expect(take(1, at: 10.25) == (0, .milliseconds(250)) && take(1, at: 10.5) == (1, .zero))
    #expect(take(4, "b", at: 10.5) == (4, .zero) && take(4, at: 99) == (4, .zero))
    for number in 0..<OwnBuckets.capacity { _ = take(1, "\(number)", at: 99) }
    #expect(take(1, at: 99) == (1, .zero), "forgotten for room")
  }

  @Test("A refusal's time is whole seconds, rounded up")
  func refusal() {
    let problem = RequestLimiter.refusal("key", Rate(count: 5, per: .seconds(1)), 1_000_000_001)
    #expect(problem.status == 429 && problem.retryAfter == 2)
    #expect(problem.headers[.rateLimit] == "\"key\";r=0;t=2")
  }

  @Test("A key's use is written at most once a minute, and no request waits for it")
  func uses() async throws {
    nonisolated(unsafe) var now: UInt64 = 5
    let memory = MemoryStore()
    var waiting: [() async throws -> Void] = []
    let cached = CachingEdgeStore(memory, background: { waiting.append($0) }) { now }
    for key in ["a", "b", "a"] { cached.noteUse(of: key, tenant: "t") }
    now += CachingEdgeStore.useInterval - 1
    cached.noteUse(of: "a", tenant: "t")
    #expect(waiting.count == 2 && memory.uses.isEmpty)
    now += 1
    cached.noteUse(of: "a", tenant: "t")
    for write in waiting { try await write() }
    #expect(memory.uses == ["a", "b", "a"])
  }

  @Test("Only a credential that was proven counts as a use of its key")
  func provenUses() async throws {
    let site = try await EdgeSite()
    #expect(await site.send("GET", "/v1/users/u/profile").status == 200)
    let forged = "emcp_live_\(site.key.id)_\(String(repeating: "A", count: 43))"
    #expect(await site.send("GET", "/v1/users/u/profile", key: forged).status == 401)
    #expect(await site.usesWritten() == [site.key.id])
    await site.stop()
  }
}
