import CivilTime
import Foundation
import RPCRuntime
import ServiceContracts
import StrictJSON
import Testing
import WireCodec

@testable import EdgeService
@testable import ServiceKit

@Suite("Routes")
struct RouteTests {
  private let mail = #"{"to":["a@b.example"],"subject":"Hi","body":"x"}"#

  @Test("Connecting: authorize, the redirect, and the completion in its three forms")
  func connect() async throws {
    let site = try await EdgeSite()
    let started = await site.send(
      "POST", "/v1/oauth/authorize", #"{"user_id":"u","redirect_url":"https://crm.example/done"}"#)
    #expect(started.status == 200 && started.json["expires_at"] as? String == "2023-11-14T22:13:20.000Z")
    #expect(site.seen.last.context.userID == "u")
    let refused = await site.send("POST", "/v1/oauth/authorize", #"{"user_id":"u","redirect_url":"https://x"}"#)
    #expect(refused.status == 400 && refused.code == "redirect_url_not_allowed")

    let redirect = await site.send("GET", "/v1/oauth/callback?code=c&state=good&scope=a+b&authuser=0", key: nil)
    #expect(redirect.status == 303 && redirect.headers["location"] == "https://crm.example/done?code=h&state=good")
    let page = await site.send("GET", "/v1/oauth/callback?code=c&state=bad", key: nil)
    #expect(page.status == 400 && page.headers["content-type"] == "text/html; charset=utf-8")
    #expect(page.headers["location"] == nil)

    let path = "/v1/oauth/callback"
    let form = ["Content-Type": "application/x-www-form-urlencoded"]
    for reply in [
      await site.send("POST", path, #"{"code":"c","state":"good","user_id":"u 1"}"#),
      await site.send("POST", path, "code=c&state=good&user_id=u+1", headers: form),
      await site.send("POST", path + "?code=c&state=good&user_id=u%201&scope=x"),
      await site.send("POST", path + "?code=c&state=good", #"{"user_id":"u 1"}"#),
    ] {
      #expect(reply.status == 200 && reply.json["status"] as? String == "success")
      #expect(reply.json["user_id"] as? String == "u 1" && site.seen.last.complete?.code == "c")
    }
    await site.stop()
  }

  @Test("A completion that cannot be: each has its code")
  func completionErrors() async throws {
    let site = try await EdgeSite()
    let path = "/v1/oauth/callback"
    for (body, status, code) in [
      (#"{"code":"c","state":"good"}"#, 400, "user_binding_required"),
      (#"{"code":"c","user_id":"u"}"#, 400, "invalid_request"),
      (#"{"code":"c","error":"e","state":"good","user_id":"u"}"#, 400, "invalid_request"),
      (#"{"code":"c","state":"nope","user_id":"u"}"#, 400, "invalid_state"),
      (#"{"code":"c","state":"scope_not_granted","user_id":"u"}"#, 422, "scope_not_granted"),
      (#"{"code":"c","state":"unexpected_account","user_id":"u"}"#, 422, "unexpected_account"),
      (#"{"code":"c","state":"google_unavailable","user_id":"u"}"#, 502, "google_unavailable"),
      (#"{"code":"c","state":"vault_unavailable","user_id":"u"}"#, 503, "vault_unavailable"),
      (#"{"code":"c","state":"invalid_id_token","user_id":"u"}"#, 502, "invalid_id_token"),
      (#"{"code":"c","state":"good","user_id":"u","extra":1}"#, 400, "invalid_request"),
    ] {
      let reply = await site.send("POST", path, body)
      #expect(reply.status == status && reply.code == code, "\(body)")
    }
    let twice = await site.send("POST", path + "?state=a", #"{"code":"c","state":"good","user_id":"u"}"#)
    #expect(twice.status == 400)
    let minted = await site.send("POST", "/v1/users/u/tokens", "{}")
    let token = try #require(minted.json["token"] as? String)
    #expect(
      await site.send("POST", path, #"{"code":"c","state":"good"}"#, key: token).json["user_id"] as? String == "u")
    let other = await site.send("POST", path, #"{"code":"c","state":"good","user_id":"v"}"#, key: token)
    #expect(other.code == "invalid_state")
    await site.stop()
  }

  @Test("A form is read by its bytes: an ampersand parts whatever follows it, and what is no UTF-8 is no user's name")
  func formBytes() async throws {
    let site = try await EdgeSite()
    let reply = await site.send(
      "POST", "/v1/oauth/callback", "code=c&state=good&user_id=u&\u{301}=x",
      headers: ["Content-Type": "application/x-www-form-urlencoded"])
    #expect(reply.status == 400 && reply.code == "invalid_request")
    #expect(throws: Query.Problem.self) { try Query(parsing: Array("user_id=".utf8) + [0xFF], allowed: ["user_id"]) }
    await site.stop()
  }

  @Test("The profile has an ETag that saves sending it again")
  func profile() async throws {
    let site = try await EdgeSite()
    let first = await site.send("GET", "/v1/users/u/profile")
    #expect(first.status == 200 && first.json["gmail_connected"] as? Bool == true)
    #expect(first.json["last_used_at"] is NSNull && first.json["status"] as? String == "active")
    let tag = try #require(first.headers["etag"])
    let again = await site.send("GET", "/v1/users/u/profile", headers: ["If-None-Match": "\"x\", W/\(tag)"])
    #expect(again.status == 304 && again.body.isEmpty && again.headers["etag"] == tag)
    #expect(await site.send("GET", "/v1/users/u/profile", headers: ["If-None-Match": "*"]).status == 304)
    #expect(first.headers["cache-control"] == "private, no-cache")
    #expect(await site.send("GET", "/v1/users/v/profile", headers: ["If-None-Match": tag]).status == 200)
    #expect(await site.send("DELETE", "/v1/users/u/gmail").status == 204)
    await site.stop()
  }

  @Test("A mail: sent, kept, scheduled, replayed")
  func send() async throws {
    let site = try await EdgeSite()
    let path = "/v1/users/u/messages"
    let sent = await site.send("POST", path, mail, headers: ["Idempotency-Key": "again"])
    #expect(sent.status == 200 && sent.json["status"] as? String == "success")
    #expect(sent.json["message_id"] as? String == "g1" && sent.json["sent_at"] as? String == "2023-11-14T22:13:20.123Z")
    #expect(sent.headers["idempotency-replayed"] == "true")
    let request = try #require(site.seen.last.send)
    #expect(request.to.map(\.email) == ["a@b.example"] && request.wait?.duration == .seconds(30))
    #expect(request.idempotencyKey == "again" && request.idempotencyFingerprint.count == 32)

    let other = await site.send("POST", path, mail + " ", headers: ["Idempotency-Key": "again"])
    #expect(other.status == 200 && site.seen.last.send?.idempotencyFingerprint != request.idempotencyFingerprint)

    for (query, headers) in [("?wait=0", [:]), ("", ["Prefer": "foo=bar, respond-async; x=y"])]
      as [(String, [String: String])]
    {
      let kept = await site.send("POST", path + query, mail, headers: headers)
      #expect(kept.status == 202 && kept.json["status"] as? String == "queued")
      #expect(kept.headers["location"] == "/v1/users/u/messages/01890000-0000-7000-8000-000000000001")
      #expect(kept.headers["preference-applied"] == (headers.isEmpty ? nil : "respond-async"))
    }
    let later = await site.send(
      "POST", path, #"{"to":["a@b.example"],"body":"x","send_at":"2027-01-01T00:00:00Z"}"#)
    #expect(later.status == 202 && later.json["send_at"] as? String == "2027-01-01T00:00:00.000Z")
    await site.stop()
  }

  @Test("A compressed body is not read as if it were none")
  func compressedBody() async throws {
    let site = try await EdgeSite()
    let path = "/v1/users/u/messages"
    for coding in ["gzip", "identity, br"] {
      let reply = await site.send("POST", path, mail, headers: ["Content-Encoding": coding])
      #expect(reply.status == 415 && reply.code == "unsupported_media_type")
      #expect(reply.headers["accept-encoding"] == "identity")
    }
    #expect(await site.send("POST", path, mail, headers: ["Content-Encoding": "identity"]).status == 200)
    await site.stop()
  }

  @Test("Everything that a mail may have reaches the mailer")
  func wholeMail() async throws {
    let site = try await EdgeSite()
    let body = #"""
      {"to":[{"email":"a@b.example","name":"Ä"},"c@d.example"],"cc":["e@f.example"],"bcc":["g@h.example"],
       "subject":"S","body":"t","html":"<p>","from_email":"u@gmail.example","from_name":"U","reply_to":"r@s.example",
       "attachments":[{"filename":"f.txt","content_type":"text/plain","content":"aGk=","content_id":"x","disposition":"inline"}],
       "headers":{"X-A":"1"},"thread_id":"t1","provider":"gmail_api","on_ambiguous":"retry","metadata":{"deal":"7"},
       "send_at":"2026-11-22T10:39:00Z","one_click_unsubscribe":true,"priority":"bulk"}
      """#
    let reply = await site.send(
      "POST", "/v1/users/u/messages?wait=5", body, headers: ["Idempotency-Key": "k"])
    #expect(reply.status == 202)
    var request = try #require(site.seen.last.send)
    #expect(request.idempotencyFingerprint.count == 32)
    request.idempotencyFingerprint = []
    let expected = Mailer.SendMessageRequest {
      $0.to = [
        Mailer.Address {
          $0.email = "a@b.example"
          $0.name = "Ä"
        }, Mailer.Address { $0.email = "c@d.example" },
      ]
      $0.cc = [Mailer.Address { $0.email = "e@f.example" }]
      $0.bcc = [Mailer.Address { $0.email = "g@h.example" }]
      $0.subject = "S"
      $0.body = "t"
      $0.html = "<p>"
      $0.fromEmail = "u@gmail.example"
      $0.fromName = "U"
      $0.replyTo = [Mailer.Address { $0.email = "r@s.example" }]
      $0.attachments = [
        Mailer.Attachment {
          $0.filename = "f.txt"
          $0.contentType = "text/plain"
          $0.content = Array("hi".utf8)
          $0.contentID = "x"
          $0.disposition = .inline
        }
      ]
      $0.headers = [
        Mailer.Header {
          $0.name = "X-A"
          $0.value = "1"
        }
      ]
      $0.threadID = "t1"
      $0.provider = .gmailAPI
      $0.onAmbiguous = .retry
      $0.metadata = ["deal": "7"]
      $0.sendAt = ProtobufTimestamp?(Timestamp(rfc3339: "2026-11-22T10:39:00Z"))
      $0.oneClickUnsubscribe = true
      $0.priority = .bulk
      $0.wait = ProtobufDuration(.seconds(5))
      $0.idempotencyKey = "k"
    }
    #expect(request == expected)
    await site.stop()
  }

  @Test(
    "A mail that is not one: 400, with the field",
    arguments: [
      (#"{"to":"a@b.example","body":"x"}"#, "to"), (#"{"to":[1],"body":"x"}"#, "to[0]"),
      (#"{"to":["a@b.example"],"body":1}"#, "body"), (#"{"to":["a@b.example"],"body":"x","nope":1}"#, "nope"),
      (#"{"attachments":[{"filename":"f","content":"!"}]}"#, "attachments[0].content"),
      (#"{"provider":"smtp"}"#, "provider"), (#"{"on_ambiguous":"maybe"}"#, "on_ambiguous"),
      (#"{"send_at":"tomorrow"}"#, "send_at"), (#"{"metadata":{"a":1}}"#, "metadata.a"),
    ])
  func badMail(_ body: String, _ field: String) async throws {
    let site = try await EdgeSite()
    let reply = await site.send("POST", "/v1/users/u/messages", body)
    let errors = reply.json["errors"] as? [[String: String]]
    #expect(reply.status == 400 && errors?.contains { $0["field"] == field } == true, "\(reply.body)")
    if field == "to[0]" {
      #expect(errors?.first?["message"] == "must be a string or an object, not a number", "\(reply.body)")
    }
    await site.stop()
  }

  @Test("100 attachments are taken, 101 are not")
  func attachments() async throws {
    let site = try await EdgeSite()
    for (count, status) in [(100, 200), (101, 400)] {
      let files = Array(repeating: #"{"filename":"f","content":""}"#, count: count).joined(separator: ",")
      let body = #"{"to":["a@b.example"],"body":"x","attachments":[\#(files)]}"#
      #expect(await site.send("POST", "/v1/users/u/messages", body).status == status)
    }
    await site.stop()
  }

  @Test("A body that cannot be read: 400, 413, 415; a header or query that is wrong: 400; an answer nobody takes: 406")
  func badRequests() async throws {
    let site = try await EdgeSite()
    let path = "/v1/users/u/messages"
    #expect(await site.send("POST", path, "{").status == 400)
    #expect(await site.send("POST", path, #"{"to":[],"to":[]}"#).status == 400)
    #expect(await site.send("POST", path, String(repeating: "[", count: 40)).status == 400)
    #expect(await site.send("POST", path, mail, headers: ["Content-Type": "text/plain"]).status == 415)
    #expect(
      await site.send("POST", path, mail, headers: ["Content-Type": "application/json; charset=utf-8"]).status == 200)
    let large = #"{"user_id":"\#(String(repeating: "a", count: 70_000))"}"#
    #expect(await site.send("POST", "/v1/oauth/authorize", large).status == 413)
    for query in ["?wait=61", "?wait=x", "?wait=1&wait=2", "?waite=1", "?wait=%zz"] {
      #expect(await site.send("POST", path + query, mail).status == 400, "\(query)")
    }
    #expect(await site.send("POST", path, mail, headers: ["Idempotency-Key": "é"]).status == 400)
    #expect(await site.send("GET", path, headers: ["Accept": "text/html"]).status == 406)
    #expect(await site.send("GET", path, headers: ["Accept": "text/html, */*;q=0.1"]).status == 200)
    #expect(await site.send("GET", "/v1/users/%00/profile").status == 400)
    #expect(await site.send("GET", "/v1/users/%ff/profile").status == 400)
    #expect(await site.send("GET", "/v1/users/\(String(repeating: "a", count: 256))/profile").status == 400)
    #expect(await site.send("GET", "/v1/users/\(String(repeating: "a", count: 255))/profile").status == 200)
    await site.stop()
  }

  @Test(
    "What the mailer says becomes its status and code",
    arguments: [
      ("fields", 400, "invalid_request", nil), ("in flight", 409, "idempotency_in_flight", "2"),
      ("not connected", 409, "not_connected", nil), ("suppressed", 422, "recipient_suppressed", nil),
      ("too large", 413, "message_too_large", nil),
      ("from", 403, "from_not_allowed", nil), ("quota", 429, "too_many_unsent", "5"),
      ("not configured", 503, "gmail_not_configured", nil),
      ("rejected", 422, "gmail_rejected", nil), ("unknown", 502, "outcome_unknown", nil),
      ("cancelled", 409, "cancelled", nil),
    ] as [(String, Int, String, String?)])
  func mailerErrors(_ subject: String, _ status: Int, _ code: String, _ retryAfter: String?) async throws {
    let site = try await EdgeSite()
    let reply = await site.send(
      "POST", "/v1/users/u/messages", #"{"to":["a@b.example"],"body":"x","subject":"\#(subject)"}"#)
    #expect(reply.status == status && reply.code == code && reply.headers["retry-after"] == retryAfter)
    #expect(reply.headers["content-type"] == "application/problem+json")
    #expect(
      reply.json["status"] as? Int == status && reply.json["request_id"] as? String == reply.headers["x-request-id"])
    #expect((reply.json["error"] as? String)?.isEmpty == false)
    #expect(reply.headers["ratelimit-policy"] == (status == 429 ? #""unsent";q=100"# : nil))
    #expect(reply.headers["ratelimit"] == (status == 429 ? #""unsent";r=0;t=5"# : nil))
    if ["rejected", "not configured", "unknown", "cancelled"].contains(subject) {
      let status = ["unknown", "cancelled"].contains(subject) ? subject : "failed"
      #expect(reply.json["message_status"] as? String == status)
      #expect(reply.json["id"] as? String == "01890000-0000-7000-8000-000000000001")
    }
    await site.stop()
  }

  @Test("What asks to wait says for how long; reasons that no service of ours coined are not repeated")
  func problems() {
    let inFlight = ProblemTable.problem(for: RPCError(.failedPrecondition, reason: "idempotency_in_flight", "Wait."))
    #expect(inFlight.status == 409 && inFlight.retryAfter == 1)
    let foreign = RPCError(.notFound, reason: "not_connected", domain: "proxy.example", "No.")
    #expect(ProblemTable.problem(for: foreign) == .notFound)
    let failed = Mailer.SendMessageResponse {
      $0.status = .failed
      $0.error = DeliveryError { $0.code = "gmail_not_configured" }
      $0.replayed = true
    }
    let problem = ProblemTable.problem(for: failed)
    // The mail has failed for good.
    #expect(problem.status == 503 && problem.retryAfter == nil && problem.message?.isReplay == true)
  }

  @Test(
    "A service that fails shows nothing of itself",
    arguments: [("crash", 502, "internal"), ("away", 503, "unavailable"), ("slow", 504, "deadline_exceeded")])
  func serviceErrors(_ user: String, _ status: Int, _ code: String) async throws {
    let site = try await EdgeSite()
    let reply = await site.send("GET", "/v1/users/\(user)/profile")
    #expect(reply.status == status && reply.code == code && !reply.body.contains("secret"))
    await site.stop()
  }

  @Test("An edge whose contexts are refused doubts its clock")
  func refusedContext() async throws {
    let site = try await EdgeSite()
    let ours = Timestamp.now() + .seconds(3600)
    #expect(await site.send("GET", "/v1/users/crash/profile").status == 502)
    #expect(site.clock.judge(now: ours, byDatabase: .now()) == nil)
    #expect(await site.send("GET", "/v1/users/refused/profile").status == 502)
    #expect(site.clock.judge(now: ours, byDatabase: .now()) != nil)
    await site.stop()
  }

  @Test("The reason that a server gives its own errors changes no answer of REST", arguments: Int32(1)...16)
  func addedReasons(_ number: Int32) {
    let bare = RPCError(StatusCode(rawValue: number), "the server stops")
    let (problem, told) = (ProblemTable.problem(for: bare), ProblemTable.problem(for: bare.withReason))
    #expect((told.status, told.code, told.retryAfter) == (problem.status, problem.code, problem.retryAfter))
    #expect(bare.withReason.errorInfo?.domain == "emailmcp")
    if problem.status >= 500 { #expect(told.error == problem.error) }
  }

  @Test("The log: a page, one message with its timeline, cancelling")
  func log() async throws {
    let site = try await EdgeSite()
    let path = "/v1/users/u/messages"
    let page = await site.send(
      "GET", path + "?status=unknown&to=a&subject=s&start_date=2026-11-01&end_date=2026-11-02T00:00:00Z&limit=200")
    #expect(page.status == 200 && page.json["next_cursor"] as? String == "c2")
    let item = try #require((page.json["messages"] as? [[String: Any]])?.first)
    #expect(
      Set(item.keys) == [
        "id", "message_id", "thread_id", "from_email", "to", "subject", "status", "error", "created_at", "sent_at",
        "attempts", "metadata",
      ])
    let list = try #require(site.seen.last.list)
    #expect(list.status == .unknown && list.limit == 200 && list.start?.value == .date("2026-11-01"))
    #expect(await site.send("GET", path + "?cursor=c2").json["next_cursor"] is NSNull)
    for query in ["?limit=0", "?limit=201", "?limit=+1", "?status=sent", "?start_date=yesterday", "?x=1"] {
      #expect(await site.send("GET", path + query).status == 400, "\(query)")
    }
    let id = "01890000-0000-7000-8000-000000000001"
    let one = await site.send("GET", "\(path)/\(id)")
    #expect(one.json["cc"] as? [String] == ["c@b.example"] && one.json["bcc"] as? [String] == ["d@b.example"])
    #expect(one.json["send_at"] as? String == "2023-11-14T22:13:20.000Z")
    #expect((one.json["timeline"] as? [[String: Any]])?.first?["event"] as? String == "accepted")
    #expect(await site.send("GET", "\(path)/\(id.dropLast())2").status == 404)
    #expect(await site.send("GET", "\(path)/x").status == 404)
    #expect(await site.send("DELETE", "\(path)/\(id)").status == 204)
    #expect(await site.send("DELETE", "\(path)/\(id.dropLast())2").code == "too_late")
    await site.stop()
  }

  @Test("Reports and the export")
  func reports() async throws {
    let site = try await EdgeSite()
    let path = "/v1/reports/users/u"
    let report = await site.send("GET", path + "?start_date=2026-11-01&tz=Europe/Berlin")
    #expect(report.status == 200 && report.json["total_emails"] as? Int == 2)
    #expect(report.json["start_date"] as? String == "2026-11-01" && report.json["success_rate"] as? Double == 0.5)
    #expect(site.seen.last.range?.timeZone == "Europe/Berlin")
    #expect(await site.send("GET", path + "?tz=Mars/Olympus").code == "invalid_time_zone")
    #expect(await site.send("GET", "/v1/reports/summary").json["total_users"] as? Int == 3)
    #expect(await site.send("GET", "/v1/reports/summary", key: site.readOnlyKey.revealed).status == 403)
    let csv = await site.send("GET", path + "/export")
    #expect(csv.status == 200 && csv.body == "id,…\n1\n2\n")
    #expect(csv.headers["content-type"]?.hasPrefix("text/csv") == true)
    let lines = await site.send("GET", path + "/export", headers: ["Accept": "application/x-ndjson"])
    #expect(lines.headers["content-type"] == "application/x-ndjson")
    #expect(await site.send("GET", path + "/export?format=xls").status == 400)
    #expect(await site.send("GET", path + "/export?tz=Mars/Olympus").code == "invalid_time_zone")
    await site.stop()
  }

  @Test("An answer's own headers are in the document")
  func answerHeaders() async throws {
    let general: Set = [
      "content-type", "content-length", "date", "cache-control", "x-content-type-options", "x-request-id", "connection",
    ]
    let site = try await EdgeSite()
    let path = "/v1/users/u/messages"
    let quota = #"{"to":["a@b.example"],"body":"x","subject":"quota"}"#
    for (reply, documented) in [
      (
        await site.send("POST", path, mail, headers: ["Prefer": "respond-async"]),
        OpenAPIHeaders.names(.sendMessage, "202")
      ),
      (await site.send("GET", "/v1/users/u/profile"), OpenAPIHeaders.names(.getProfile, "200")),
      (await site.send("POST", path, quota), OpenAPIHeaders.ofProblems),
      (await site.send("GET", path, key: nil), OpenAPIHeaders.ofProblems),
      (await site.send("PATCH", path, "{}"), OpenAPIHeaders.ofProblems),
    ] {
      let own = Set(reply.headers.keys).subtracting(general)
      #expect(!own.isEmpty && own.isSubset(of: documented.map { $0.lowercased() }), "\(reply.status) \(own)")
    }
    await site.stop()
  }

  @Test("Health, readiness and the document need no credential")
  func open() async throws {
    let site = try await EdgeSite()
    #expect(await site.send("GET", "/healthz", key: nil).status == 200)
    #expect(await site.send("GET", "/readyz", key: nil).status == 503)  // nobody told it that it has started
    let document = await site.send("GET", "/v1/openapi.json", key: nil)
    #expect(document.status == 200 && document.json["openapi"] as? String == "3.1.0")
    await site.stop()
  }

  @Test("The router and the OpenAPI document are equal")
  func openAPI() throws {
    let json = try JSONSerialization.jsonObject(with: Data(OpenAPI.document.encoded())) as? [String: Any]
    let paths = try #require(json?["paths"] as? [String: [String: [String: Any]]])
    var documented: Set<String> = []
    for (path, methods) in paths {
      for (method, operation) in methods {
        documented.insert("\(method.uppercased()) \(path)")
        let concrete = path.replacingOccurrences(of: "{user_id}", with: "u").replacingOccurrences(of: "{id}", with: "i")
        guard case .found(let route, let parameters) = Router().find(method: method.uppercased(), path: concrete[...])
        else {
          Issue.record("\(method) \(path) is not routed")
          continue
        }
        #expect(operation["operationId"] as? String == route.operation.rawValue)
        let listed = (operation["parameters"] as? [[String: Any]] ?? [])
        let names = Set(listed.filter { $0["in"] as? String == "path" }.compactMap { $0["name"] as? String })
        #expect(names == Set(parameters.keys))
        let query = Set(listed.filter { $0["in"] as? String == "query" }.compactMap { $0["name"] as? String })
        #expect(query == Set(route.query))
        #expect((operation["security"] != nil) == (route.scope == nil))
      }
    }
    #expect(documented == Set(Route.all.map { "\($0.method.rawValue.uppercased()) \($0.path)" }))
    #expect(Set(Route.all.map(\.operation)) == Set(Operation.allCases))
    // The pages that the routes take.
    for (path, page) in [
      ("/v1/suppressions", EdgeHandler.suppressionPage),
      ("/v1/webhooks/{webhook_id}/deliveries", EdgeHandler.webhookPage),
      ("/v1/users/{user_id}/messages", 1...200),
    ] {
      let listed = paths[path]?["get"]?["parameters"] as? [[String: Any]]
      let schema = listed?.first { $0["name"] as? String == "limit" }?["schema"] as? [String: Any]
      #expect(schema?["minimum"] as? Int == page.lowerBound && schema?["maximum"] as? Int == page.upperBound)
      #expect(schema?["default"] as? Int == (page.upperBound == 200 ? 50 : 100))
    }
    func state(_ path: String, _ method: String) -> [String: Any]? {
      let listed = paths[path]?[method]?["parameters"] as? [[String: Any]]
      return listed?.first { $0["name"] as? String == "state" }?["schema"] as? [String: Any]
    }
    #expect(state("/v1/webhooks/{webhook_id}/deliveries", "get")?["enum"] != nil)
    for method in ["get", "post"] {
      let schema = state("/v1/oauth/callback", method)
      #expect(schema?["type"] as? String == "string" && schema?["enum"] == nil)
    }
    let answers = paths["/v1/oauth/callback"]?["get"]?["responses"] as? [String: [String: Any]]
    let media = answers?["400"]?["content"] as? [String: Any]
    #expect(media?["text/html"] != nil && media?["application/problem+json"] != nil)
    // Every header that is named is described.
    let headers = try #require((json?["components"] as? [String: Any])?["headers"] as? [String: Any])
    let named =
      OpenAPIHeaders.ofProblems
      + Operation.allCases.flatMap { operation in
        OpenAPISchemas.answers(operation).flatMap { OpenAPIHeaders.names(operation, $0.status) }
      }
    #expect(Set(named + ["X-Request-Id"]) == Set(headers.keys))
    // Every reference leads somewhere.
    let schemas = try #require((json?["components"] as? [String: Any])?["schemas"] as? [String: Any])
    let text = String(decoding: OpenAPI.document.encoded(), as: UTF8.self)
    for part in text.components(separatedBy: "#/components/schemas/").dropFirst() {
      #expect(schemas[String(part.prefix { $0 != "\"" })] != nil)
    }
  }
}
