import Foundation
import ServiceContracts
import TLSSession
import Testing

@testable import EdgeService

@Suite("The forms of a request")
struct RequestFormTests {
  private static let messages = "/v1/users/u/messages"
  private let mail = #"{"to":["a@b.example"],"subject":"Hi","body":"x"}"#

  @Test("HEAD is answered as GET, without the body")
  func head() async throws {
    let site = try await EdgeSite()
    for path in [
      "/v1/users/u/profile", Self.messages, "/v1/users/u/messages/x", "/v1/openapi.json", "/v1/reports/users/u/export",
    ] {
      let get = await site.send("GET", path)
      let head = await site.send("HEAD", path)
      #expect(head.status == get.status && head.body.isEmpty && !get.body.isEmpty, "\(path)")
      for name in ["content-type", "content-length", "etag", "cache-control"] {
        #expect(head.headers[name] == get.headers[name], "\(path) \(name)")
      }
    }
    let refused = await site.send("HEAD", "/v1/users/u/tokens")
    #expect(refused.status == 405 && refused.headers["allow"] == "POST" && refused.body.isEmpty)
    #expect(await site.send("HEAD", "/v1/users/u/profile", key: nil).status == 401)
    await site.stop()
  }

  @Test("A parameter that is given empty is no number, word or date; an empty cursor is the first page")
  func emptyParameters() async throws {
    let site = try await EdgeSite()
    for query in ["limit=", "limit", "status=", "start_date=", "end_date="] {
      #expect(await site.send("GET", Self.messages + "?" + query).code == "invalid_request", "\(query)")
    }
    for query in ["wait=", "wait"] {
      #expect(await site.send("POST", Self.messages + "?" + query, mail).code == "invalid_request", "\(query)")
    }
    #expect(await site.send("GET", "/v1/suppressions?limit=").code == "invalid_request")
    #expect(await site.send("GET", "/v1/webhooks/we_1/deliveries?state=").code == "invalid_request")
    #expect(site.seen.count == 0)
    #expect(await site.send("GET", Self.messages + "?&cursor=&").json["next_cursor"] as? String == "c2")
    // Filters that are given empty are filters.
    #expect(await site.send("GET", Self.messages + "?to=&subject=").status == 200)
    #expect(site.seen.last.list?.to == "" && site.seen.last.list?.subject == "")
    #expect(await site.send("GET", Self.messages).status == 200)
    #expect(site.seen.last.list?.to == nil && site.seen.last.list?.subject == nil)
    await site.stop()
  }

  @Test("A key's fingerprint is of the method's path and the body: another user's mail is another, another wait is not")
  func fingerprint() async throws {
    let site = try await EdgeSite()
    var prints: [[UInt8]] = []
    for path in [Self.messages, "/v1/users/v/messages", Self.messages + "?wait=0"] {
      _ = await site.send("POST", path, mail, headers: ["Idempotency-Key": "k"])
      prints.append(try #require(site.seen.last.send?.idempotencyFingerprint))
    }
    #expect(prints[0].count == 32 && prints[1] != prints[0] && prints[2] == prints[0])
    #expect(await site.send("POST", Self.messages, mail).status == 200)
    #expect(site.seen.last.send?.idempotencyKey == nil && site.seen.last.send?.idempotencyFingerprint == [])
    await site.stop()
  }

  @Test("Two idempotency keys are none, though they are equal; one has 1 to 255 characters that can be printed")
  func idempotencyKeys() async throws {
    let site = try await EdgeSite()
    let longest = String(repeating: "k", count: 255)
    for headers in [
      ["Idempotency-Key": "k", "idempotency-key": "k"], ["Idempotency-Key": ""], ["Idempotency-Key": longest + "k"],
      ["Idempotency-Key": "a\tb"],
    ] {
      let reply = await site.send("POST", Self.messages, mail, headers: headers)
      let fields = (reply.json["errors"] as? [[String: String]])?.compactMap { $0["field"] }
      #expect(reply.status == 400 && fields == ["Idempotency-Key"], "\(headers)")
    }
    #expect(site.seen.count == 0)
    for key in [longest, "~ !"] {
      #expect(await site.send("POST", Self.messages, mail, headers: ["Idempotency-Key": key]).status == 200)
      #expect(site.seen.last.send?.idempotencyKey == key)
    }
    await site.stop()
  }

  @Test("An id in a path is the same in capitals", arguments: ["GET", "DELETE"])
  func capitals(method: String) async throws {
    let site = try await EdgeSite()
    let id = "01890000-abcd-7000-8000-000000000001"
    #expect([200, 204].contains(await site.send(method, Self.messages + "/" + id.uppercased()).status))
    #expect(site.seen.last.id == id)
    #expect(await site.send(method, Self.messages + "/" + id.replacingOccurrences(of: "a", with: "g")).status == 404)
    #expect(site.seen.count == 1)
    await site.stop()
  }

  @Test("The place of a mail that waits has its user escaped, as the path had to have him")
  func location() async throws {
    let site = try await EdgeSite()
    let kept = await site.send("POST", "/v1/users/a%2fb%20%c3%a9%3f/messages?wait=0", mail)
    #expect(site.seen.last.context.userID == "a/b é?")
    let location = try #require(kept.headers["location"])
    #expect(location == "/v1/users/a%2Fb%20%C3%A9%3F/messages/01890000-0000-7000-8000-000000000001")
    #expect(await site.send("GET", location).status == 200)
    #expect(site.seen.last.context.userID == "a/b é?")
    await site.stop()
  }

  @Test("Everything but what needs none is escaped, and comes back")
  func escapes() {
    let text = String(String.UnicodeScalarView((1...300).compactMap(Unicode.Scalar.init)))
    let escaped = PercentText.encode(text)
    #expect(escaped.utf8.allSatisfy { $0 == UInt8(ascii: "%") || "-._~".utf8.contains($0) || isalnum(Int32($0)) != 0 })
    #expect(escaped.contains("-._~") == false && PercentText.encode("aZ09-._~") == "aZ09-._~")
    #expect(PercentText.decode(escaped.utf8) == text)
    #expect(PercentText.decode("a+b".utf8) == "a+b" && PercentText.decode("a+b".utf8, plusIsBlank: true) == "a b")
    for bad in ["%", "%4", "%g0", "%0g", "%ff"] { #expect(PercentText.decode(bad.utf8) == nil) }
  }
}
