import CivilTime
import MailSyntax
import RPCRuntime
import ServiceContracts
import StrictJSON
import TLSSession
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Suppression")
struct SuppressionTests {
  private static func entry(_ text: String) -> Mailer.AddSuppressionRequest {
    Mailer.AddSuppressionRequest { $0.entry = text }
  }

  @Test("Mail to a listed address or below a listed domain is refused and nothing is kept; other mail leaves")
  func refused() async throws {
    try await MailerHarness.run { harness in
      for text in ["Bob@example.com", "blocked.example"] {
        let answer = try await harness.call(Mailer.addSuppression, Self.entry(text), scopes: ["admin"])
        #expect(answer.added && answer.suppression?.entry == text.lowercased())
      }
      #expect(
        try await harness.call(Mailer.addSuppression, Self.entry("BOB@example.com"), scopes: ["admin"]).added == false)
      for (to, bcc) in [
        (["bOb@example.com"], []), (["ok@example.com"], ["x@blocked.example"]), (["y@deep.sub.blocked.example"], []),
      ] as [([String], [String])] {
        let error = await #expect(throws: RPCError.self) {
          try await harness.send {
            $0.to = to.map { address in Mailer.Address { $0.email = address } }
            $0.bcc = bcc.map { address in Mailer.Address { $0.email = address } }
          }
        }
        #expect(error?.errorInfo?.reason == "recipient_suppressed" && error?.code == .failedPrecondition)
        #expect(error?.badRequest?.fieldViolations.map(\.field) == [bcc.isEmpty ? "to[0]" : "bcc[0]"])
      }
      #expect(try harness.value("SELECT count(*) FROM email_logs") == "0")
      #expect(try harness.value("SELECT count(*) FROM send_jobs") == "0")
      for free in ["bobb@example.com", "x@notblocked.example"] {
        let sent = try await harness.send { $0.to = [Mailer.Address { $0.email = free }] }
        #expect(sent.status == .success)
      }
      _ = try await harness.call(
        Mailer.removeSuppression, Mailer.RemoveSuppressionRequest { $0.entry = "BOB@Example.com" }, scopes: ["admin"])
      #expect(try await harness.send().status == .success)
      let reason = await harness.reason {
        _ = try await harness.call(
          Mailer.removeSuppression, Mailer.RemoveSuppressionRequest { $0.entry = "bob@example.com" }, scopes: ["admin"])
      }
      #expect(reason == "not_found")
      #expect(
        try harness.value("SELECT string_agg(action, ',' ORDER BY at) FROM audit_events WHERE action LIKE 'supp%'")
          == "suppression.added,suppression.added,suppression.removed")
    }
  }

  /// The list was looked at when a mail was accepted and not again.
  @Test("Mail that waits when a recipient comes onto the list fails as it would have been refused, and is not sent")
  func waiting() async throws {
    try await MailerHarness.run { harness in
      try harness.database.execute(
        """
        INSERT INTO webhook_endpoints (tenant_id, id, url, final_only, secret_sealed)
        VALUES ('acme', 'we_0123456789abcdef', 'https://127.0.0.1:1/', true, 'x')
        """)
      var ids: [String] = []
      for (to, bcc) in [
        ("bob@example.com", []), ("cat@example.com", ["X@deep.blocked.example"]), ("dan@example.com", []),
      ] as [(String, [String])] {
        let accepted = try await harness.send {
          $0.to = [Mailer.Address { $0.email = to }]
          $0.bcc = bcc.map { address in Mailer.Address { $0.email = address } }
          $0.sendAt = ProtobufTimestamp(.now() + .seconds(3600))
        }
        ids.append(accepted.id)
      }
      for entry in ["bob@example.com", "blocked.example"] {
        _ = try await harness.call(Mailer.addSuppression, Self.entry(entry), scopes: ["admin"])
      }
      try harness.makeDue()
      #expect(try await harness.eventually { try harness.value("SELECT count(*) FROM send_jobs") == "0" })
      for id in ids.dropLast() {
        let record = try await harness.get(id)
        #expect(record.status == .failed && record.error?.code == "recipient_suppressed" && record.attempts == 0)
        #expect(record.timeline.map(\.event) == [.accepted, .scheduled, .leased, .outcome])
      }
      #expect(try await harness.get(ids[2]).status == .success && harness.gmail.requests.count == 1)
      #expect(try harness.value("SELECT sum(success) || ' ' || sum(failed) FROM email_stats_15m") == "1 2")
      #expect(try harness.value("SELECT usage_now + usage_before FROM mailboxes") == "1", "the day's recipients")
      #expect(
        try harness.value("SELECT string_agg(type, ' ' ORDER BY type) FROM webhook_deliveries")
          == "message.failed message.failed message.success")
    }
  }

  @Test("Of mail that waits only what may have been sent already is not looked at again")
  func ambiguous() async throws {
    try await MailerHarness.run(mailers: 0) { harness in
      try await harness.withStore { store in
        for (number, reason) in [SendAttempt.Requeue.Reason.rateLimited, .ambiguous].enumerated() {
          let now = Timestamp(milliseconds: Timestamp.now().milliseconds)
          let key = MailKey(tenantID: "acme", userID: "ann", id: UniqueID(at: now, random: (1, UInt64(number))))
          try harness.database.execute("DELETE FROM suppressions")
          try await harness.abandon(key, hasIntent: true, policy: .retry)
          let isMine = try await store.requeue(
            SendAttempt.Requeue(reason: reason, at: .now(), isFailure: false, pausesMailbox: false), of: key, epoch: 1,
            googleSub: "sub-ann", attempts: 1, payload: nil)
          #expect(isMine)
          _ = try await store.suppress(
            try SuppressionEntry("bob@example.com"), tenantID: "acme", reason: nil, source: .unsubscribe, actor: nil)
          #expect(try await store.claim(worker: "w", limit: 1, lapsed: false).map(\.epoch) == [2])
          let intent = try await store.recordIntent(.init(key: key, googleSub: "sub-ann", epoch: 2))
          #expect(intent == (reason == .ambiguous ? .recorded : .suppressed))
          #expect(try await store.recordIntent(.init(key: key, googleSub: "sub-ann", epoch: 1)) == .lost)
          let leased = MailStore.Leased(key: key, googleSub: "sub-ann", epoch: 2)
          let end = MailStore.Outcome(outcome: .failed(.rejected), at: .now(), attempts: 1, recipients: [])
          #expect(try await store.record(end, of: leased, isAwaited: false))
        }
      }
    }
  }

  @Test("An answer that was given stands, though the recipient has unsubscribed since")
  func replay() async throws {
    try await MailerHarness.run { harness in
      let first = try await harness.send { $0.idempotencyKey = "k" }
      _ = try await harness.call(Mailer.addSuppression, Self.entry("bob@example.com"), scopes: ["admin"])
      let again = try await harness.send { $0.idempotencyKey = "k" }
      #expect(again.replayed && again.messageID == first.messageID)
    }
  }

  @Test("Pages go through the list by entry; the scope is admin, and a tenant sees its own list only")
  func pages() async throws {
    try await MailerHarness.run { harness in
      try harness.database.createTenant("other")
      try harness.database.execute(
        "INSERT INTO suppressions (tenant_id, entry, source) VALUES ('other', 'a0@x.org', 'platform')")
      for index in 1...5 {
        _ = try await harness.call(Mailer.addSuppression, Self.entry("a\(index)@x.org"), scopes: ["admin"])
      }
      var seen: [String] = []
      var cursor = ""
      repeat {
        let page = try await harness.call(
          Mailer.listSuppressions,
          Mailer.ListSuppressionsRequest {
            $0.limit = 2
            $0.cursor = cursor
          }, scopes: ["admin"])
        seen += page.suppressions.map(\.entry)
        cursor = page.nextCursor
      } while !cursor.isEmpty
      #expect(seen == (1...5).map { "a\($0)@x.org" })
      let refusal = await harness.reason {
        _ = try await harness.call(Mailer.listSuppressions, Mailer.ListSuppressionsRequest())
      }
      #expect(refusal == "missing_scope")
      for limit in [-1, 1001] as [Int32] {
        let reason = await harness.reason {
          _ = try await harness.call(
            Mailer.listSuppressions, Mailer.ListSuppressionsRequest { $0.limit = limit }, scopes: ["admin"])
        }
        #expect(reason == "invalid_request")
      }
    }
  }

  @Test("The header's link unsubscribes its recipient from its tenant, and later mail is refused")
  func oneClick() async throws {
    try await MailerHarness.run { harness in
      let sent = try await harness.send { request in
        request.oneClickUnsubscribe = true
        // The service's own two are not counted among the 50.
        request.headers = (0..<50).map { number in
          Mailer.Header {
            $0.name = "X-Own-\(number)"
            $0.value = "x"
          }
        }
      }
      #expect(sent.status == .success)
      let body = try JSONValue(parsing: try #require(harness.gmail.requests.last).body)
      let mail = String(decoding: try #require(Base64.decode(body["raw"]?.stringValue ?? "", .urlSafe)), as: UTF8.self)
      let unfolded = mail.replacing("\r\n ", with: " ")
      #expect(unfolded.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"))
      let start = "\r\nList-Unsubscribe: <https://mail.acme.example/v1/unsubscribe/"
      let after = try #require(unfolded.split(separator: start, maxSplits: 1).last)
      let token = String(after.prefix { $0 != ">" })
      #expect(!token.contains("bob") && Base64.decode(token, .urlSafe) != nil)
      for wrong in [String(token.dropLast(2)), "B" + token.dropFirst(), "", String(repeating: "A", count: 700)] {
        let reason = await harness.reason {
          _ = try await harness.call(Mailer.unsubscribe, Mailer.UnsubscribeRequest { $0.token = wrong }, scopes: [])
        }
        #expect(reason == "not_found")
      }
      for _ in 0..<2 {
        _ = try await harness.call(Mailer.unsubscribe, Mailer.UnsubscribeRequest { $0.token = token }, scopes: [])
      }
      #expect(
        try harness.value("SELECT tenant_id || ' ' || entry || ' ' || source FROM suppressions")
          == "acme bob@example.com unsubscribe")
      #expect(await harness.reason { _ = try await harness.send() } == "recipient_suppressed")
      let several = await harness.reason {
        _ = try await harness.send {
          $0.oneClickUnsubscribe = true
          $0.cc = [Mailer.Address { $0.email = "c@x.org" }]
        }
      }
      #expect(several == "invalid_request")
      let twice = await harness.reason {
        _ = try await harness.send {
          $0.oneClickUnsubscribe = true
          $0.headers = [
            Mailer.Header {
              $0.name = "List-Unsubscribe"
              $0.value = "<https://x.example>"
            }
          ]
        }
      }
      #expect(twice == "invalid_request")
    }
  }

  @Test("Without a public address no link can be promised")
  func unconfigured() {
    let links = UnsubscribeLinks(keys: Keyring(generating: "k"), publicURL: nil)
    var draft = MessageDraft()
    draft.to = [.init(email: "a@b.org")]
    let error = #expect(throws: RPCError.self) {
      try links.headers(of: draft, UserKey(tenantID: "acme", userID: "u"))
    }
    #expect(error?.errorInfo?.reason == "unsubscribe_not_configured")
  }

  @Test("The longest tenant and address still make a header that may stand")
  func longest() throws {
    let base = "https://" + String(repeating: "a", count: UnsubscribeLinks.maximumPublicURL - 8)
    let keys = try Keyring(
      parsing: String(repeating: "k", count: 32) + ":" + Base64.encode([UInt8](repeating: 1, count: 32)))
    let links = UnsubscribeLinks(keys: keys, publicURL: base)
    let domain = (0..<3).map { _ in String(repeating: "d", count: 61) }.joined(separator: ".") + ".ab"
    var draft = MessageDraft()
    draft.to = [.init(email: String(repeating: "l", count: 64) + "@" + domain)]
    draft.text = "x"
    draft.headers = try links.headers(of: draft, UserKey(tenantID: String(repeating: "t", count: 63), userID: "u"))
    let message = try OutgoingMessage(draft, now: OutgoingMessageTests.now)
    let token = try #require(message.headers[0].value.split(separator: "/").last?.dropLast())
    #expect(token.utf8.count <= UnsubscribeLinks.maximumLength)
    #expect(links.recipient(of: String(token))?.entry.text == draft.to[0].email)
  }
}
