import CivilTime
import EventLoop
import HTTPSClient
import RPCRuntime
import ServiceContracts
import TestSupport
import Testing
import WireCodec

@testable import MailerService

@Suite("Sending, through a real database and real sockets")
struct SendingTests {
  @Test("A mail whose sender waits is sent once, recorded, counted, and leaves no job behind")
  func success() async throws {
    try await MailerHarness.run { harness in
      let response = try await harness.send {
        $0.cc = [Mailer.Address { $0.email = "bob@example.com" }]
        $0.bcc = [Mailer.Address { $0.email = "eve@example.com" }]
        $0.metadata = ["deal": "7"]
      }
      #expect(response.status == .success)
      #expect(response.messageID == "m1")
      #expect(response.threadID == "t1")
      #expect(response.fromEmail == "ann@example.com")
      #expect(harness.gmail.requests.count == 1)
      #expect(harness.gmail.requests[0].token == "token-ann-1")
      #expect(harness.gmail.requests[0].path == "/gmail/v1/users/me/messages/send")
      #expect(try harness.value("SELECT count(*) FROM send_jobs") == "0")
      #expect(try harness.value("SELECT sum(success) FROM email_stats_15m") == "1")
      #expect(
        try harness.value("SELECT string_agg(email, ' ' ORDER BY email) FROM email_recipients_day")
          == "bob@example.com eve@example.com")
      #expect(try harness.value("SELECT in_flight_job IS NULL FROM mailboxes") == "t")
      #expect(try harness.value("SELECT last_used_at IS NOT NULL FROM user_email_accounts") == "t")
      let record = try await harness.get(response.id)
      #expect(record.to == ["Bob@example.com"])
      #expect(record.status == .success)
      #expect(record.attempts == 1)
      #expect(record.metadata["deal"] == "7")
      #expect(record.timeline.map(\.event) == [.accepted, .leased, .attempt, .outcome])
    }
  }

  @Test("A mail that has left is recorded when the database's disk has room again, and its sender is told")
  func fullDisk() async throws {
    try await MailerHarness.run { harness in
      // Twice no outcome can be written; the sequence counts what is undone too.
      try harness.database.execute(
        """
        CREATE SEQUENCE full_disk; GRANT USAGE ON full_disk TO PUBLIC;
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.status = 'success' AND nextval('public.full_disk') <= 2 THEN
            RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
          END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER full_disk BEFORE UPDATE ON email_logs FOR EACH ROW EXECUTE FUNCTION full_disk();
        """)
      let response = try await harness.send()
      #expect(response.status == .success && harness.gmail.requests.count == 1)
      #expect(try await harness.get(response.id).status == .success)
    }
  }

  @Test("The second mail of a user asks nobody for a token")
  func cachedToken() async throws {
    try await MailerHarness.run { harness in
      _ = try await harness.send()
      _ = try await harness.send()
      #expect(harness.oauth.calls.count == 1)
    }
  }

  @Test("Those who want a token at the same time ask for it once")
  func sharedToken() async throws {
    try await MailerHarness.run { harness in
      harness.oauth.delay = .milliseconds(200)
      let sends = (0..<3).map { _ in harness.reactor.spawn { try await harness.send() } }
      for send in sends {
        let response = try await send.value
        #expect(response.status == .success)
      }
      #expect(harness.oauth.calls.count == 1)
    }
  }

  @Test(
    "A refusal is the mail's end and says why",
    arguments: [
      (400, "invalidArgument", "gmail_rejected"), (413, nil, "message_too_large"),
      (403, "domainPolicy", "gmail_rejected"),
      (403, "accessNotConfigured", "gmail_not_configured"),
    ] as [(Int, String?, String)])
  func refused(status: Int, reason: String?, code: String) async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .status(status, reason: reason) }
      let response = try await harness.send()
      #expect(response.status == .failed)
      #expect(response.error?.code == code)
      #expect(harness.gmail.requests.count == 1)
      #expect(try harness.value("SELECT sum(failed) FROM email_stats_15m") == "1")
    }
  }

  @Test("401 renews the token once and repeats once")
  func tokenRenewed() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { number, _ in number == 1 ? .status(401) : .success }
      let response = try await harness.send()
      #expect(response.status == .success)
      #expect(harness.gmail.requests.map(\.token) == ["token-ann-1", "token-ann-2"])
      #expect(harness.oauth.calls.last?.refused?.reason == .invalid)
    }
  }

  @Test("401 that a newer token does not cure fails the awaited mail as reauth_required")
  func tokenDead() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .status(401) }
      let response = try await harness.send()
      #expect(response.status == .failed)
      #expect(response.error?.code == "reauth_required")
      #expect(harness.gmail.requests.count == 2)
    }
  }

  @Test("The timeline names what each request ended with")
  func answersInTimeline() async throws {
    try await MailerHarness.run { harness in
      func story() async throws -> [String] {
        let sent = try await harness.send()
        return try await harness.get(sent.id).timeline.dropFirst(3).map { "\($0.event) \($0.detail ?? "")" }
      }
      for (reply, end) in [
        (.status(503), "outcome_unknown: http_503"), (.close, "outcome_unknown: connection_lost"),
        (.emptySuccess, "outcome_unknown: no_message_id"),
        (.status(400, reason: "invalidArgument"), "gmail_rejected: invalidArgument"),
        (.success, "success"),
      ] as [(ScriptedGmail.Reply, String)] {
        harness.gmail.script = { _, _ in reply }
        let seen = try await story()
        #expect(seen == ["outcome \(end)"])
      }
      let before = harness.gmail.requests.count
      harness.gmail.script = { number, _ in
        switch number - before {
        case 1: .status(401)
        case 3: .status(429, reason: "rateLimitExceeded", headers: "Retry-After: 1\r\n")
        default: .success
        }
      }
      let renewed = try await story()
      #expect(renewed == ["refused access token refused, renewed", "attempt ", "outcome success"])
      let repeated = try await story()
      #expect(repeated == ["refused rate_limited: rateLimitExceeded", "leased ", "attempt ", "outcome success"])
    }
  }

  @Test("A dead worker's mail is said to have been leased again, and to have been sent again where that was asked for")
  func takenOverInTimeline() async throws {
    for (policy, end) in [
      (Mailer.AmbiguityPolicy.hold, ["leased", "outcome outcome_unknown"]),
      (.retry, ["leased", "attempt", "outcome success"]),
    ] {
      try await MailerHarness.run { harness in
        harness.gmail.script = { number, _ in number == 1 ? .held : .success }
        let sent = harness.reactor.spawn {
          _ = try await harness.send {
            $0.onAmbiguous = policy
            $0.priority = .bulk
            $0.wait = ProtobufDuration(.zero)
          }
        }
        try await harness.gmail.nextHeld()
        try harness.expireLeases()
        try harness.makeDue()
        let id = try #require(try harness.value("SELECT id FROM email_logs"))
        let isOver = try await harness.eventually { try await harness.get(id).timeline.last?.event == .outcome }
        #expect(isOver)
        let story = try await harness.get(id).timeline.map { event in
          event.detail.map { "\(event.event) \($0)" } ?? "\(event.event)"
        }
        #expect(Array(story.suffix(end.count)) == end)
        harness.gmail.release()
        _ = await sent.result
      }
    }
  }

  @Test("A missing scope is reported to the oauth service")
  func missingScope() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in .status(403, reason: "insufficientPermissions") }
      let response = try await harness.send()
      #expect(response.error?.code == "reauth_required")
      #expect(harness.oauth.missingScopes == 1)
    }
  }

  @Test("A number that an enum does not have, and a duration that is none, are refused by the field's name")
  func unknownValues() async throws {
    try await MailerHarness.run { harness in
      func fields(_ change: (inout Mailer.SendMessageRequest) -> Void) async -> [String] {
        do {
          return ["kept: \(try await harness.send(change).status)"]
        } catch {
          return (error as? RPCError)?.badRequest?.fieldViolations.map(\.field) ?? ["\(error)"]
        }
      }
      #expect(await fields { $0.provider = Provider(rawValue: 7) } == ["provider"])
      #expect(await fields { $0.onAmbiguous = Mailer.AmbiguityPolicy(rawValue: 9) } == ["on_ambiguous"])
      #expect(await fields { $0.priority = Mailer.Priority(rawValue: -1) } == ["priority"])
      let odd = Mailer.Attachment {
        $0.filename = "a.txt"
        $0.disposition = Mailer.Attachment.Disposition(rawValue: 9)
      }
      #expect(
        await fields { $0.attachments = [Mailer.Attachment { $0.filename = "b.txt" }, odd] }
          == ["attachments[1].disposition"])
      for (seconds, nanos) in [(1, 2_000_000_000), (2, -1), (0, 1_000_000_000), (61, 0), (0, -1)] as [(Int64, Int32)] {
        let wait = ProtobufDuration.with(seconds: seconds, nanos: nanos)
        #expect(await fields { $0.wait = wait } == ["wait"], "\(seconds) s, \(nanos) ns")
      }
      #expect(harness.gmail.requests.isEmpty)
    }
  }

  @Test("Each error of a service has a reason, also those that its server makes by itself; one call has one context")
  func reasons() async throws {
    try await MailerHarness.run { harness in
      let name = Mailer.service
      let missing = UnaryMethod<Mailer.GetMessageRequest, Mailer.GetMessageResponse>(name, "Nothing")
      #expect(await harness.reason { _ = try await harness.call(missing, .init()) } == "not_implemented")
      let garbled = UnaryMethod<Garbled, Mailer.GetMessageResponse>(name, "GetMessage")
      #expect(await harness.reason { _ = try await harness.call(garbled, Garbled()) } == "internal")
      let other = MailerHarness.options(user: "eve").metadata
      let twice = await harness.reason {
        _ = try await harness.call(Mailer.getCapacity, .init(), adding: other)
      }
      #expect(twice == "invalid_context")
    }
  }

  @Test("Too fast: the mail waits as long as Gmail says and is then sent")
  func rateLimited() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { number, _ in
        number == 1 ? .status(429, reason: "rateLimitExceeded", headers: "Retry-After: 1\r\n") : .success
      }
      let response = try await harness.send()
      #expect(response.status == .success)
      #expect(harness.gmail.requests.count == 2)
      let record = try await harness.get(response.id)
      #expect(record.attempts == 2)
      #expect(record.timeline.map(\.event).contains(.refused))
    }
  }

  @Test("The mailbox's day: the whole mailbox is paused until Gmail's time, its queue kept")
  func mailboxDay() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { _, _ in
        .status(429, reason: "rateLimitExceeded", message: "Retry after 2099-01-01T00:00:00Z (Mail sending)")
      }
      let response = try await harness.send { $0.wait = ProtobufDuration(.seconds(1)) }
      #expect(response.status == .queued)
      #expect(try harness.value("SELECT paused_reason FROM mailboxes") == "daily_limit")
      #expect(try harness.value("SELECT next_free_at > now() + interval '47 hours' FROM mailboxes") == "t")
      let second = try await harness.send { $0.wait = ProtobufDuration(.zero) }
      #expect(second.status == .queued)
      #expect(harness.gmail.requests.count == 1)
    }
  }

  @Test("An answer that says nothing certain makes the mail unknown, and it is never sent again")
  func unknown() async throws {
    for reply in [ScriptedGmail.Reply.status(500), .status(503), .close, .emptySuccess] {
      try await MailerHarness.run { harness in
        harness.gmail.script = { _, _ in reply }
        let response = try await harness.send()
        #expect(response.status == .unknown)
        #expect(response.error?.code == "outcome_unknown")
        #expect(harness.gmail.requests.count == 1)
        #expect(try harness.value("SELECT sum(unknown) FROM email_stats_15m") == "1")
      }
    }
  }

  @Test("Under retry an unknown fate is tried again")
  func retried() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.script = { number, _ in number == 1 ? .close : .success }
      let response = try await harness.send { $0.onAmbiguous = .retry }
      #expect(response.status == .success)
      #expect(harness.gmail.requests.count == 2)
    }
  }

  @Test("The wait begins when the request comes: a token that takes long is part of it")
  func waitsOnce() async throws {
    try await MailerHarness.run { harness in
      harness.oauth.delay = .seconds(2)
      harness.gmail.script = { _, _ in .held }
      let start = Instant.current()
      let response = try await harness.send { $0.wait = ProtobufDuration(.milliseconds(2500)) }
      #expect(response.status == .sending || response.status == .queued)
      let took = Instant.current() - start
      #expect(took < .seconds(4), "\(took)")
    }
  }

  @Test("While Gmail cannot be reached the mail stays queued and is not counted")
  func connectRefused() async throws {
    try await MailerHarness.run { harness in
      harness.gmail.refuse()
      let port = try #require(harness.gmailURL.split(separator: ":").last.flatMap { UInt16($0) })
      let address = try SocketAddress(numericHost: "127.0.0.1", port: port)
      #expect(throws: SystemError.self, "another server may be given the port") { try Socket.requireUnused(address) }
      _ = try await harness.send { $0.wait = ProtobufDuration(.milliseconds(800)) }
      let isQueued = try await harness.eventually {
        try harness.value("SELECT status FROM email_logs JOIN send_jobs USING (id) WHERE send_jobs.attempts > 0")
          == "queued"
      }
      #expect(isQueued)
      #expect(try harness.value("SELECT count(*) FROM send_jobs WHERE payload IS NOT NULL") == "1")
      #expect(try harness.value("SELECT count(*) FROM email_stats_15m") == "0")
    }
  }

  @Test("What cannot be accepted is refused with its reason, and nothing is kept")
  func refusals() async throws {
    try await MailerHarness.run { harness in
      #expect(
        await harness.reason { _ = try await harness.send { $0.fromEmail = "eve@example.com" } } == "from_not_allowed")
      #expect(await harness.reason { _ = try await harness.send { $0.to = [] } } == "invalid_request")
      #expect(
        await harness.reason { _ = try await harness.send { $0.wait = ProtobufDuration(.seconds(61)) } }
          == "invalid_request")
      #expect(
        await harness.reason {
          _ = try await harness.send {
            $0.attachments = [
              Mailer.Attachment {
                $0.filename = "big"
                $0.content = [UInt8](repeating: 1, count: 20 << 20)
              }
            ]
          }
        } == "message_too_large")
      harness.oauth.answer = .refusal("not_connected")
      #expect(await harness.reason { _ = try await harness.send(user: "nobody") } == "not_connected")
      harness.oauth.answer = .refusal("reauth_required")
      #expect(await harness.reason { _ = try await harness.send(user: "other") } == "reauth_required")
      let kept = try harness.value("SELECT count(*) FROM email_logs")
      #expect(kept == "0")
      #expect(harness.gmail.requests.isEmpty)
    }
  }

  @Test("A user who connects again and again while he sends is told to try again, and not to connect")
  func accountThatKeepsChanging() async throws {
    try await MailerHarness.run { harness in
      harness.oauth.sub = { "before-\($0)" }
      #expect(await harness.reason { _ = try await harness.send() } == "unavailable")
      let kept = try harness.value("SELECT count(*) FROM email_logs")
      #expect(kept == "0")
    }
  }

  @Test("A large mail goes by upload, with its thread in a part of its own")
  func upload() async throws {
    try await MailerHarness.run { harness in
      let content = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0) }
      func attach(_ request: inout Mailer.SendMessageRequest) {
        request.attachments = [
          Mailer.Attachment {
            $0.filename = "a.bin"
            $0.content = content
          }
        ]
      }
      #expect(try await harness.send { attach(&$0) }.status == .success)
      #expect(harness.gmail.requests[0].path == "/upload/gmail/v1/users/me/messages/send?uploadType=media")
      #expect(harness.gmail.requests[0].body.starts(with: "From: ".utf8))
      let response = try await harness.send {
        attach(&$0)
        $0.threadID = "18abc"
      }
      #expect(response.status == .success)
      #expect(harness.gmail.requests[1].path == "/upload/gmail/v1/users/me/messages/send?uploadType=multipart")
      #expect(
        String(decoding: harness.gmail.requests[1].body.prefix(200), as: UTF8.self).contains("{\"threadId\":\"18abc\"}")
      )
    }
  }

  @Test("A mail of 3.5 MB is the largest that goes as JSON, of 5 MB at most; with a byte more it is an upload")
  func largestJSON() {
    let mail = [UInt8](repeating: UInt8(ascii: "x"), count: GmailForm.largestJSON)
    for thread in [nil, String(repeating: "t", count: 255)] {
      let form = GmailForm(mail: mail, threadID: thread)
      #expect(form.path == "/gmail/v1/users/me/messages/send" && form.body.count < 5_000_000)
      #expect(GmailForm(mail: mail + [0], threadID: thread).path.hasPrefix("/upload/"))
    }
  }

  @Test("One request at a time is under way for a Google account, whoever's user it is")
  func oneInFlight() async throws {
    try await MailerHarness.run(mailers: 2, users: ["ann", "bea"]) { harness in
      try harness.database.execute("UPDATE user_email_accounts SET google_sub = 'shared'")
      harness.oauth.sub = { _ in "shared" }
      let sends = (0..<12).map { number in
        harness.reactor.spawn {
          try await harness.send(user: number % 2 == 0 ? "ann" : "bea", mailer: number % 2).status
        }
      }
      for send in sends { #expect(try await send.value == .success) }
      #expect(harness.gmail.requests.count == 12)
      #expect(harness.gmail.mostAtOnce == 1)
    }
  }

  @Test("A mailbox sends no faster than its quota")
  func paced() async throws {
    // 20 a second, of which 20 may go at once after a rest: the 30th starts no earlier than half a second later.
    try await MailerHarness.run(unitsPerMinute: 120_000) { harness in
      let start = Timestamp.now()
      for _ in 0..<30 {
        let status = try await harness.send().status
        #expect(status == .success)
      }
      #expect(Timestamp.now() - start > .milliseconds(400))
    }
  }
}

/// Bytes that are no text, where text is to be.
private struct Garbled: WireMessage {
  static let wireName = "test.Garbled"

  func encode(into w: inout WireWriter) { w.bytes(1, [0xff]) }

  mutating func decodeField(_ number: Int, from r: inout WireReader) throws(WireError) { try r.skip() }
}

extension ProtobufDuration {
  fileprivate static func with(seconds: Int64, nanos: Int32) -> ProtobufDuration {
    var duration = ProtobufDuration()
    (duration.seconds, duration.nanos) = (seconds, nanos)
    return duration
  }
}
