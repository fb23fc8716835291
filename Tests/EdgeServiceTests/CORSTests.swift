import Foundation
import Testing

@testable import EdgeService

@Suite("Calls of pages")
struct CORSTests {
  @Test("CORS: preflight for any tenant's origin, the request for its own tenant's")
  func cors() async throws {
    let site = try await EdgeSite()
    let path = "/v1/users/u/profile"
    func preflight(_ origin: String) async -> EdgeSite.Reply {
      await site.send(
        "OPTIONS", path, key: nil, headers: ["Origin": origin, "Access-Control-Request-Method": "GET"])
    }
    let known = await preflight("https://other.example")
    #expect(known.status == 204 && known.headers["access-control-allow-origin"] == "https://other.example")
    #expect(await preflight("https://evil.example").status == 403)
    let minted = await site.send("POST", "/v1/users/u/tokens", "{}")
    let token = try #require(minted.json["token"] as? String)
    let mine = await site.send("GET", path, key: token, headers: ["Origin": "https://crm.example"])
    #expect(mine.status == 200 && mine.headers["access-control-allow-origin"] == "https://crm.example")
    let foreign = await site.send("GET", path, key: token, headers: ["Origin": "https://other.example"])
    #expect(foreign.status == 403 && foreign.headers["access-control-allow-origin"] == nil)
    let withKey = await site.send("GET", path, headers: ["Origin": "https://crm.example"])
    #expect(withKey.status == 200 && withKey.headers["access-control-allow-origin"] == nil)
    let over = await site.send("GET", path, key: "emct_x.y", headers: ["Origin": "https://crm.example"])
    #expect(over.status == 401 && over.headers["access-control-allow-origin"] == "https://crm.example")
    await site.stop()
  }

  @Test("A preflight has no body and no length, says what a page may send, and is kept for its origin alone")
  func preflight() async throws {
    let site = try await EdgeSite()
    let headers = ["Origin": "https://crm.example", "Access-Control-Request-Method": "PATCH"]
    for path in ["/v1/users/u/profile", "/v1/nothing"] {
      let reply = await site.send("OPTIONS", path, key: nil, headers: headers)
      #expect(reply.status == 204 && reply.body.isEmpty)
      #expect(reply.headers["content-length"] == nil && reply.headers["content-type"] == nil)
      #expect(reply.headers["vary"] == "Origin")
      #expect(reply.headers["access-control-allow-methods"] == "GET, POST, PATCH, DELETE")
      #expect(reply.headers["access-control-allow-headers"]?.contains("Idempotency-Key") == true)
      #expect(reply.headers["access-control-max-age"] == "600")
    }
    // Without what makes it one it is a call like others.
    for lacking in headers.keys {
      let plain = await site.send("OPTIONS", "/v1/users/u/profile", headers: headers.filter { $0.key != lacking })
      #expect(plain.status == 405)
    }
    await site.stop()
  }

  @Test("An answer to a page has its length, what the page may read of it, and is kept for its origin alone")
  func answer() async throws {
    let site = try await EdgeSite()
    let minted = await site.send("POST", "/v1/users/u/tokens", "{}")
    let token = try #require(minted.json["token"] as? String)
    let origin = ["Origin": "https://crm.example"]
    for (path, key, status) in [
      ("/v1/users/u/profile", token, 200), ("/v1/users/v/profile", token, 404),
      ("/v1/users/u/profile", "emct_x.y", 401),
    ] {
      let reply = await site.send("GET", path, key: key, headers: origin)
      #expect(reply.status == status && reply.headers["content-length"] == String(reply.body.utf8.count))
      #expect(reply.headers["vary"] == "Origin")
      #expect(reply.headers["access-control-expose-headers"]?.contains("Retry-After") == true)
    }
    let withoutPage = await site.send("GET", "/v1/users/u/profile", key: token)
    #expect(withoutPage.status == 200 && withoutPage.headers["vary"] == nil)
    await site.stop()
  }

  @Test("An origin of 512 bytes is looked up, a longer one is nobody's", arguments: [512, 513])
  func longOrigin(length: Int) async throws {
    let site = try await EdgeSite()
    let origin = "https://" + String(repeating: "a", count: length - 8)
    await site.change { $0.origins[origin] = "default" }
    let reply = await site.send(
      "OPTIONS", "/v1/users/u/profile", key: nil,
      headers: ["Origin": origin, "Access-Control-Request-Method": "GET"])
    #expect(reply.status == (length == 512 ? 204 : 403))
    await site.stop()
  }
}
