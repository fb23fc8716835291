import Foundation
import ServiceContracts
import ServiceKit
import Testing

@testable import EdgeService

@Suite("Webhook routes")
struct WebhookRouteTests {
  private static let path = "/v1/webhooks"

  @Test("An endpoint's life: made with its secret shown once, changed, rotated, tested, removed")
  func life() async throws {
    let site = try await EdgeSite()
    let made = await site.send("POST", Self.path, #"{"url":"https://crm.example/hook"}"#)
    #expect(made.status == 201 && made.json["secret"] as? String == "whsec_x" && made.json["id"] as? String == "we_1")
    #expect(made.headers["cache-control"] == "no-store" && site.seen.last.context.userID.isEmpty)
    let list = await site.send("GET", Self.path)
    let first = (list.json["webhooks"] as? [[String: Any]])?.first
    #expect(list.status == 200 && first?["dead"] as? Int == 2 && first?["secret"] == nil)
    #expect(first?["previous_secret_until"] is NSNull)
    let one = await site.send("GET", Self.path + "/we_1")
    #expect(one.status == 200 && one.json["id"] as? String == "we_1" && one.json["secret"] == nil)
    #expect(one.json["pending"] as? Int == 1, "not out of the list of all")
    let changed = await site.send("PATCH", Self.path + "/we_1", #"{"enabled":false,"url":"https://b.example"}"#)
    #expect(changed.json["enabled"] as? Bool == false && changed.json["url"] as? String == "https://b.example")
    for (body, secret) in [("{}", "whsec_default"), (#"{"overlap":60}"#, "whsec_60")] {
      let rotated = await site.send("POST", Self.path + "/we_1/secret", body)
      #expect(rotated.status == 201 && rotated.json["secret"] as? String == secret)
    }
    let tested = await site.send("POST", Self.path + "/we_1/test")
    #expect(tested.status == 202 && tested.json["event_id"] as? String == "msg_1")
    let dead = await site.send("GET", Self.path + "/we_1/deliveries?state=dead&limit=1")
    let delivery = (dead.json["deliveries"] as? [[String: Any]])?.first
    #expect(delivery?["state"] as? String == "dead" && delivery?["last_status"] as? Int == 503)
    #expect(dead.json["next_cursor"] as? String == "7" && delivery?["last_error"] is NSNull)
    for (body, count) in [("{}", 2), (#"{"event_id":"msg_1"}"#, 1)] {
      #expect(await site.send("POST", Self.path + "/we_1/replay", body).json["replayed"] as? Int == count)
    }
    #expect(await site.send("DELETE", Self.path + "/we_1").status == 204)
    await site.stop()
  }

  @Test("What cannot be has its code; the unknown endpoint is not found; only admin may")
  func refusals() async throws {
    let site = try await EdgeSite()
    for (method, path, body, status, code) in [
      ("POST", "", #"{"url":"http://x"}"#, 400, "invalid_request"), ("POST", "", "{}", 400, "invalid_request"),
      ("POST", "", #"{"url":"https://x","secret":"mine"}"#, 400, "invalid_request"),
      ("POST", "", #"{"url":"https://x","final_only":true}"#, 409, "too_many_webhooks"),
      ("PATCH", "/we_2", "{}", 404, "not_found"), ("DELETE", "/we_2", "", 404, "not_found"),
      ("GET", "/we_2", "", 404, "not_found"),
      ("POST", "/we_2/secret", "{}", 404, "not_found"),
      ("POST", "/we_1/secret", #"{"overlap":604801}"#, 400, "invalid_request"),
      ("POST", "/we_1/secret", #"{"overlap":-1}"#, 400, "invalid_request"),
      ("POST", "/we_off/test", "", 409, "webhook_disabled"), ("POST", "/we_2/replay", "{}", 404, "not_found"),
      ("GET", "/we_1/deliveries?state=lost", "", 400, "invalid_request"),
      ("GET", "/we_1/deliveries?limit=1001", "", 400, "invalid_request"),
      ("GET", "/we_2/deliveries", "", 404, "not_found"), ("PUT", "/we_1", "{}", 405, "method_not_allowed"),
    ] {
      let reply = await site.send(method, Self.path + path, body)
      #expect(reply.status == status && reply.code == code, "\(method) \(path) \(body)")
    }
    for (method, path) in [("GET", ""), ("POST", ""), ("PATCH", "/we_1"), ("DELETE", "/we_1"), ("POST", "/we_1/test")] {
      #expect(await site.send(method, Self.path + path, "{}", key: site.readOnlyKey.revealed).status == 403)
      #expect(await site.send(method, Self.path + path, "{}", key: nil).status == 401)
    }
    await site.stop()
  }
}
