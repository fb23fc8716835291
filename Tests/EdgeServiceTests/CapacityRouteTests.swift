import Foundation
import Testing

@testable import EdgeService

@Suite("The capacity route")
struct CapacityRouteTests {
  @Test("What the mailer says, with null for what is not known; under read alone")
  func shape() async throws {
    let site = try await EdgeSite()
    let reply = await site.send("GET", "/v1/users/u%201/capacity")
    #expect(reply.status == 200 && reply.json["user_id"] as? String == "u 1")
    #expect(reply.json["status"] as? String == "active" && reply.json["paused_reason"] as? String == "daily_limit")
    let minute = reply.json["minute"] as? [String: Any]
    #expect(minute?["messages_limit"] as? Int == 60 && minute?["messages_left"] as? Int == 42)
    let day = reply.json["day"] as? [String: Any]
    #expect(day?["recipients_left"] as? Int == 0 && day?["limit_is_learnt"] as? Bool == true)
    #expect(day?["frees_at"] as? String == "2023-11-14T22:13:20.000Z")
    let queue = reply.json["queue"] as? [String: Any]
    #expect(queue?["waiting"] as? Int == 7 && queue?["basis"] as? String == "observed")
    #expect(queue?["earliest_finish_at"] is NSNull && reply.json["next_send_at"] is NSNull)

    let nobody = await site.send("GET", "/v1/users/nobody/capacity")
    #expect(nobody.status == 200 && nobody.json["status"] as? String == "never_connected")
    #expect((nobody.json["queue"] as? [String: Any])?["basis"] is NSNull && nobody.json["paused_reason"] is NSNull)
    #expect(await site.send("GET", "/v1/users/u/capacity?x=1").status == 400)
    #expect(await site.send("GET", "/v1/users/u/capacity", key: nil).status == 401)
    await site.stop()
  }
}
