import CivilTime
import HTTPTypes
import StrictJSON
import TLSSession
import Testing

@testable import GoogleSandbox

struct GmailTests {
  private let fixture: SandboxFixture
  private let token: String

  init() throws {
    fixture = try SandboxFixture()
    token = try #require(try fixture.connect()["access_token"]?.stringValue)
  }

  private func upload(_ type: String, _ contentType: String, _ body: [UInt8]) throws -> SandboxAnswer {
    try fixture.request(
      .post, "/upload/gmail/v1/users/me/messages/send?uploadType=\(type)",
      [.authorization: "Bearer \(token)", .contentType: contentType], body: body)
  }

  private func multipart(_ metadata: String, _ mail: [UInt8], lineEnd: String = "\r\n") throws -> SandboxAnswer {
    let head = [
      "--b b", "Content-Type: application/json", "", metadata, "--b b", "Content-Type: message/rfc822", "", "",
    ]
    let body = Array(head.joined(separator: lineEnd).utf8) + mail + Array("\(lineEnd)--b b--\(lineEnd)".utf8)
    return try upload("multipart", "multipart/related; boundary=\"b b\"", body)
  }

  private func stored(_ answer: SandboxAnswer) throws -> StoredMessage {
    #expect(answer.status == 200, "\(answer.text)")
    let id = try #require(try answer.value["id"]?.stringValue)
    return try #require(fixture.sandbox.mailbox.message(id))
  }

  @Test("The JSON, media and multipart forms take the same mail and answer alike")
  func forms() throws {
    let mail = SandboxFixture.plainMail
    let answers = [
      try fixture.send(mail, token: token), try upload("media", "message/rfc822", mail), try multipart("{}", mail),
      try multipart("{}", mail, lineEnd: "\n"),
    ]
    for answer in answers {
      #expect(try stored(answer).raw == mail)
      #expect(Set(try #require(try answer.value.objectValue).members.map(\.name)) == ["id", "threadId", "labelIds"])
    }
    #expect(fixture.sandbox.mailbox.acceptedCount == 4)
  }

  @Test("A mail to oneself lands in the inbox too")
  func labels() throws {
    let mail = SandboxFixture.mail("From: ada@example.com", "To: ADA@example.com", "", "")
    #expect(try fixture.send(mail, token: token).value["labelIds"]?.arrayValue == ["UNREAD", "SENT", "INBOX"])
  }

  @Test("Bcc is taken from the mail, counted, and stripped; a From that is not the account's is replaced")
  func delivery() throws {
    let mail = SandboxFixture.mail(
      "From: Eve <eve@example.com>", "To: \"Last, First\" <one@example.com>,", " two@example.com (two)",
      "Cc: three@example.com",
      "bcc: four@example.com,", "\tfive@example.com", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?IPCfmIA=?=", "",
      "Body")
    let message = try stored(try fixture.send(mail, token: token))
    #expect(message.from == "ada@example.com")
    #expect(message.to == ["one@example.com", "two@example.com"])
    #expect(message.cc == ["three@example.com"])
    #expect(message.bcc == ["four@example.com", "five@example.com"])
    #expect(message.subject == "Grüße 😀")
    let text = String(decoding: message.raw, as: UTF8.self)
    #expect(text.hasPrefix("From: ada@example.com\r\nTo: "))
    #expect(!text.contains("four@") && !text.contains("five@") && !text.contains("eve@"))
    #expect(text.hasSuffix("\r\n\r\nBody"))
    #expect(fixture.sandbox.mailbox.ledger.last?.recipientCount == 5)
  }

  @Test(
    "A token that is missing, unknown, or out of date is a 401 in Google's shape",
    arguments: [(nil, "required"), ("Bearer nonsense", "authError"), ("Basic abc", "required")] as [(String?, String)])
  func unauthenticated(_ header: String?, _ reason: String) throws {
    var fields: HTTPFields = [.contentType: "application/json"]
    if let header { fields[.authorization] = header }
    let answer = try fixture.request(.post, "/gmail/v1/users/me/messages/send", fields, body: Array("{}".utf8))
    #expect(answer.status == 401)
    #expect(answer.reason == reason)
    #expect(answer.fields[.wwwAuthenticate]?.hasPrefix("Bearer") == true)
    let error = try #require(try answer.value["error"])
    #expect(error["code"]?.int64Value == 401)
    #expect(error["status"]?.stringValue == "UNAUTHENTICATED")
  }

  @Test("An access token dies after its time, or when it is told to")
  func expiry() throws {
    fixture.clock.now = fixture.clock.now + .seconds(3_598)
    #expect(try fixture.send(SandboxFixture.plainMail, token: token).status == 200)
    fixture.clock.now = fixture.clock.now + .seconds(1)
    #expect(try fixture.send(SandboxFixture.plainMail, token: token).status == 401)
    let fresh = try #require(try fixture.connect()["access_token"]?.stringValue)
    let bob = try #require(try fixture.connect("bob@example.com")["access_token"]?.stringValue)
    _ = try fixture.request(.post, "/sandbox/expire-access-tokens?account=Ada@example.com")
    #expect(try fixture.send(SandboxFixture.plainMail, token: fresh).reason == "authError")
    #expect(try fixture.send(SandboxFixture.plainMail, token: bob).status == 200)
    _ = try fixture.request(.post, "/sandbox/expire-access-tokens")
    #expect(try fixture.send(SandboxFixture.plainMail, token: bob).reason == "authError")
  }

  @Test("Methods beyond the scope are refused, other people's mailboxes too")
  func scope() throws {
    let profile = try fixture.request(.get, "/gmail/v1/users/me/profile", [.authorization: "Bearer \(token)"])
    #expect(profile.reason == "insufficientPermissions")
    let fields: HTTPFields = [.authorization: "Bearer \(token)", .contentType: "application/json"]
    let other = try fixture.request(
      .post, "/gmail/v1/users/bob@example.com/messages/send", fields, body: Array("{}".utf8))
    #expect(other.status == 403)
  }

  @Test("The mailbox may be named by its own address; other methods and media types are no send")
  func names() throws {
    func status(
      _ method: HTTPRequest.Method = .post, user: String = "me", scheme: String = "Bearer",
      type: String = "application/json"
    ) throws -> Int {
      try fixture.request(
        method, "/gmail/v1/users/\(user)/messages/send",
        [.authorization: "\(scheme) \(token)", .contentType: type],
        body: Array("{\"raw\":\"\(Base64.encode(SandboxFixture.plainMail, .urlSafe))\"}".utf8)
      ).status
    }
    #expect(try status() == 200 && status(user: "ADA@example.com", scheme: "bearer") == 200)
    #expect(try status(type: "application/json; charset=UTF-8") == 200)
    #expect(try status(.get) == 404 && status(.put) == 404)
    #expect(try status(type: "text/plain") == 400 && status(type: "message/rfc822") == 400)
    #expect(try status(user: "eve@example.com") == 403 && status(scheme: "Basic") == 401)
    #expect(fixture.sandbox.mailbox.acceptedCount == 3)
  }

  @Test(
    "Base64url alone is taken, padded right or not at all",
    arguments: [
      ("VG86IGFAYi5jCgp_", true), ("VG86IGFAYi5jCgo=", true), ("VG86IGFAYi5jCgo", true), ("VG86IGFAYi5jCgp/", false),
      ("VG86IGFAYi5jCgo==", false), ("VG86 IGFAYi5jCgo", false), ("VG86IGFAYi5jCgp", false), ("", false),
    ])
  func base64(_ raw: String, _ isTaken: Bool) throws {
    let answer = try fixture.request(
      .post, "/gmail/v1/users/me/messages/send", [.authorization: "Bearer \(token)", .contentType: "application/json"],
      body: Array("{\"raw\":\"\(raw)\"}".utf8))
    #expect(answer.status == (isTaken ? 200 : 400), "\(answer.text)")
  }

  @Test(
    "A mail without recipients, without a header, or with a broken address is a permanent 400",
    arguments: ["From: ada@example.com\r\n\r\nx", "no header\r\n\r\nx", "\r\nx", "To: nobody@\r\n\r\nx", ""])
  func badMail(_ raw: String) throws {
    let answer = try fixture.send(Array(raw.utf8), token: token)
    #expect(answer.status == 400)
    #expect(answer.reason == "invalidArgument")
    #expect(fixture.sandbox.mailbox.acceptedCount == 0)
  }

  @Test("Five hundred recipients are taken, one more is not", arguments: [(500, 200), (501, 400)])
  func recipients(_ count: Int, _ status: Int) throws {
    let list = (0..<count).map { "r\($0)@example.com" }.joined(separator: ",\r\n ")
    let mail = SandboxFixture.mail("From: ada@example.com", "To: \(list)", "", "")
    #expect(try fixture.send(mail, token: token).status == status)
  }

  @Test("A mail of 25 MiB is taken, one byte more is not", arguments: [(0, 200), (1, 413)])
  func size(_ excess: Int, _ status: Int) throws {
    let head = SandboxFixture.mail("From: ada@example.com", "To: a@b.example", "", "")
    let mail = head + [UInt8](repeating: 0x61, count: Delivery.maxMailBytes - head.count + excess)
    #expect(try upload("media", "message/rfc822", mail).status == status)
  }

  @Test("A JSON body of 5 MiB is taken, one byte more is not", arguments: [(0, 200), (1, 413)])
  func jsonBound(_ excess: Int, _ status: Int) throws {
    var body = Array("{\"raw\":\"\(Base64.encode(SandboxFixture.plainMail, .urlSafe))\"}".utf8)
    body += [UInt8](repeating: 0x20, count: SendRequest.maxJSONBytes - body.count + excess)
    let answer = try fixture.request(
      .post, "/gmail/v1/users/me/messages/send", [.authorization: "Bearer \(token)", .contentType: "application/json"],
      body: body)
    #expect(answer.status == status)
  }

  @Test("A JSON body over its bound is a 413")
  func jsonSize() throws {
    let answer = try fixture.send([UInt8](repeating: 0x61, count: 4 << 20), token: token)
    #expect(answer.status == 413)
    #expect(answer.reason == "uploadTooLarge")
  }

  @Test("A known thread is kept, an unknown one is a 404")
  func threads() throws {
    let first = try fixture.send(SandboxFixture.plainMail, token: token).value
    let thread = try #require(first["threadId"]?.stringValue)
    let second = try fixture.send(SandboxFixture.plainMail, token: token, thread: thread).value
    #expect(second["threadId"]?.stringValue == thread)
    #expect(second["id"] != first["id"])
    #expect(try fixture.send(SandboxFixture.plainMail, token: token, thread: "123").reason == "notFound")
    let other = try multipart("{\"threadId\":\"\(thread)\"}", SandboxFixture.plainMail)
    #expect(try other.value["threadId"]?.stringValue == thread)
  }

  @Test("A thread is its account's, and named as a text")
  func foreignThread() throws {
    let thread = try #require(try fixture.send(SandboxFixture.plainMail, token: token).value["threadId"]?.stringValue)
    let bob = try #require(try fixture.connect("bob@example.com")["access_token"]?.stringValue)
    #expect(try fixture.send(SandboxFixture.plainMail, token: bob, thread: thread).reason == "notFound")
    #expect(fixture.sandbox.mailbox.acceptedCount == 1)
    for (value, status) in [("null", 200), ("\"\"", 400), ("7", 400), ("\"\(thread)\"", 200)] {
      #expect(try multipart("{\"threadId\":\(value)}", SandboxFixture.plainMail).status == status)
    }
  }

  @Test("What looks like a boundary inside a line, or goes on behind one, is the mail's own")
  func boundaries() throws {
    let mail = SandboxFixture.mail(
      "From: ada@example.com", "To: a@b.example", "", "--b bx", " --b b", "x--b b--", "--b b-", "--b", "")
    #expect(try stored(try multipart("{}", mail)).raw == mail)
    #expect(try stored(try multipart("", mail)).raw == mail)
    func wrapped(_ boundary: String, _ parts: [String], end: String = "--") throws -> Int {
      let body = parts.map { "--\(boundary)\r\n\($0)\r\n" }.joined() + "--\(boundary)\(end)"
      return try upload("multipart", "multipart/related; boundary=\(boundary)", Array(body.utf8)).status
    }
    let metadata = "Content-Type: application/json\r\n\r\n{}"
    let message = "Content-Type: message/rfc822\r\n\r\nTo: a@b.example\r\n\r\nx"
    let longest = String(repeating: "b", count: 70)
    #expect(try wrapped(longest, [metadata, message]) == 200)
    for (boundary, parts, end) in [
      (longest + "b", [metadata, message], "--"), ("b", [metadata], "--"), ("b", [metadata, message, message], "--"),
      ("b", [metadata, message], ""), ("b", [metadata, message.replacing("message/rfc822", with: "text/plain")], "--"),
      ("b", ["\r\nx", message], "--"),
    ] {
      #expect(try wrapped(boundary, parts, end: end) == 400, "\(parts.count)")
    }
  }

  @Test("Uploads of another kind or another type are refused")
  func uploadKinds() throws {
    #expect(try upload("resumable", "message/rfc822", SandboxFixture.plainMail).status == 400)
    #expect(try upload("media", "text/plain", SandboxFixture.plainMail).status == 400)
    #expect(try upload("multipart", "multipart/related", SandboxFixture.plainMail).status == 400)
    #expect(try upload("multipart", "multipart/related; boundary=x", Array("--x\r\n\r\n--y--".utf8)).status == 400)
  }

  @Test("The inbox shows what came, escaped, and the ledger counts it")
  func pages() throws {
    let mail = SandboxFixture.mail(
      "From: ada@example.com", "To: grace@example.com", "Subject: <script>alert(1)</script>", "Message-ID: <x@y>", "",
      "<b>body</b>")
    let message = try stored(try fixture.send(mail, token: token))
    for target in ["/", "/inbox/\(message.id)"] {
      let page = try fixture.request(.get, target)
      #expect(page.status == 200)
      #expect(page.text.contains("&lt;script&gt;alert(1)"))
      #expect(!page.text.contains("<script") && !page.text.contains("<b>"))
    }
    let ledger = try fixture.request(.get, "/sandbox/ledger").value
    #expect(ledger["count"]?.int64Value == 1)
    #expect(ledger["entries"]?.arrayValue?.first?["message_id_header"]?.stringValue == "<x@y>")
    #expect(try fixture.request(.get, "/sandbox/ledger?after=1").value["entries"]?.arrayValue?.isEmpty == true)
    #expect(
      try fixture.request(.get, "/sandbox/messages?account=grace@example.com").value["messages"]?.arrayValue?.count == 1
    )
  }
}
