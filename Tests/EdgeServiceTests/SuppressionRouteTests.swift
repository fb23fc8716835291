import Foundation
import ServiceContracts
import ServiceKit
import Testing

@testable import EdgeService

@Suite("Suppression routes")
struct SuppressionRouteTests {
  @Test("The list: added, seen already, read in pages, removed; under admin alone")
  func list() async throws {
    let site = try await EdgeSite()
    let added = await site.send("POST", "/v1/suppressions", #"{"entry":"a@b.example","reason":"asked"}"#)
    #expect(
      added.status == 201 && added.json["kind"] as? String == "address" && added.json["reason"] as? String == "asked")
    let known = await site.send("POST", "/v1/suppressions", #"{"entry":"old.example"}"#)
    #expect(known.status == 200 && known.json["kind"] as? String == "domain" && known.json["reason"] is NSNull)
    let bad = await site.send("POST", "/v1/suppressions", #"{"entry":"nodots"}"#)
    let fields = bad.json["errors"] as? [[String: String]]
    #expect(bad.status == 400 && fields?.first?["field"] == "entry")
    let page = await site.send("GET", "/v1/suppressions?limit=1")
    #expect(page.status == 200 && page.json["next_cursor"] as? String == "next")
    #expect(site.seen.last.context.userID.isEmpty)
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?user_id=u"] {
      #expect(await site.send("GET", "/v1/suppressions" + query).status == 400, "\(query)")
    }
    #expect(await site.send("DELETE", "/v1/suppressions/a%40b.example").status == 204)
    #expect(await site.send("DELETE", "/v1/suppressions/other").status == 404)
    for (method, path) in [("GET", ""), ("POST", ""), ("DELETE", "/x.example")] {
      #expect(await site.send(method, "/v1/suppressions" + path, key: site.readOnlyKey.revealed).status == 403)
      #expect(await site.send(method, "/v1/suppressions" + path, key: nil).status == 401)
    }
    await site.stop()
  }

  @Test("The link: reading it never acts, posting the one field does")
  func link() async throws {
    let site = try await EdgeSite()
    let before = site.seen.count
    for token in ["good", "bad"] {
      let page = await site.send("GET", "/v1/unsubscribe/\(token)", key: nil, headers: ["Accept": "text/html"])
      #expect(page.status == 200 && page.headers["content-type"] == "text/html; charset=utf-8")
      #expect(page.headers["cache-control"] == "no-store" && page.headers["referrer-policy"] == "no-referrer")
    }
    #expect(site.seen.count == before)
    let form = ["Content-Type": "application/x-www-form-urlencoded"]
    let asked = "List-Unsubscribe=One-Click"
    #expect(await site.send("POST", "/v1/unsubscribe/good", "", key: nil, headers: form).code == "not_one_click")
    #expect(await site.send("POST", "/v1/unsubscribe/good", asked, key: nil).code == "not_one_click")
    #expect(site.seen.count == before)
    #expect(await site.send("POST", "/v1/unsubscribe/good", asked, key: nil, headers: form).status == 200)
    #expect(await site.send("POST", "/v1/unsubscribe/bad", asked, key: nil, headers: form).status == 404)
    let parts = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n"
    let multipart = ["Content-Type": "Multipart/Form-Data;boundary=\"b\""]
    #expect(await site.send("POST", "/v1/unsubscribe/good", parts, key: nil, headers: multipart).status == 200)
    for (excess, status) in [(0, 200), (1, 413)] {
      let long = asked + "&x=" + String(repeating: "a", count: OneClick.maximumBody - asked.utf8.count - 3 + excess)
      #expect(await site.send("POST", "/v1/unsubscribe/good", long, key: nil, headers: form).status == status)
    }
    await site.stop()
  }

  @Test("The field stands in a part of that name, between lines of a boundary that has a name itself")
  func parts() {
    func isAsked(_ lines: String...) -> Bool {
      OneClick.isAsked(
        for: Array(lines.joined(separator: "\r\n").utf8), contentType: "multipart/form-data")
    }
    let field = "content-disposition: form-data; name=\"List-Unsubscribe\""
    #expect(
      isAsked("--b", "Content-Disposition: form-data; name=\"x\"", "", "1", "--b", field, "", "One-Click", "--b--"))
    #expect(!isAsked("--", field, "", "One-Click", "----"))
    #expect(!isAsked("b", field, "", "One-Click", "b--"))
    #expect(!isAsked("--b", field, "One-Click", "--b--"), "that is a header")
    #expect(!isAsked("--b", field, "", "One-Click", "more", "--b--"))
    #expect(!isAsked("--b", "X: name=\"List-Unsubscribe\"", "", "One-Click", "--b--"))
    #expect(
      !isAsked("--b", field, "", "1", "--b", "Content-Disposition: form-data; name=\"x\"", "", "One-Click", "--b--"))
  }

  @Test("The two ways to write the form", arguments: [("\r\n", true), ("\n", true)])
  func multipart(_ end: String, _ expected: Bool) {
    func body(_ name: String, _ value: String) -> [UInt8] {
      Array(
        [
          "--b1", "Content-Disposition: form-data; name=\"\(name)\"", "", value, "--b1--", "",
        ].joined(separator: end).utf8)
    }
    let type = "multipart/form-data"
    #expect(OneClick.isAsked(for: body("List-Unsubscribe", "One-Click"), contentType: type) == expected)
    #expect(!OneClick.isAsked(for: body("List-Unsubscribe", "One-Click, please"), contentType: type))
    #expect(!OneClick.isAsked(for: body("Other", "One-Click"), contentType: type))
    #expect(!OneClick.isAsked(for: body("List-Unsubscribe", "One-Click"), contentType: "text/plain"))
    #expect(!OneClick.isAsked(for: [0xFF], contentType: type) && !OneClick.isAsked(for: [], contentType: type))
    let encoded = "application/x-www-form-urlencoded"
    #expect(OneClick.isAsked(for: Array("a=b&List-Unsubscribe=One-Click\r\n".utf8), contentType: encoded))
    #expect(!OneClick.isAsked(for: Array("List-Unsubscribe=One-Clicks".utf8), contentType: encoded))
  }
}
