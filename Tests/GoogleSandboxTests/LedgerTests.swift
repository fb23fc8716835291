import CivilTime
import HTTPTypes
import StrictJSON
import TLSSession
import Testing

@testable import GoogleSandbox

/// The ledger judges what was sent and how often: a mail that it counts twice, not at all or as another's would be a wrong
/// verdict on the product.
@Suite("The ledger")
struct LedgerTests {
  private let fixture: SandboxFixture
  private let token: String

  init() throws {
    fixture = try SandboxFixture()
    token = try #require(try fixture.connect()["access_token"]?.stringValue)
  }

  private func mail(_ number: Int) -> [UInt8] {
    SandboxFixture.mail(
      "From: Ada <ada@example.com>", "To: a@x.org, b@x.org", "Cc: c@x.org", "Bcc: d@x.org", "Message-ID: <\(number)@x>",
      "Message-ID: <second@x>", "", "")
  }

  private func entries(_ query: String = "") throws -> [JSONValue] {
    try #require(try fixture.request(.get, "/sandbox/ledger\(query)").value["entries"]?.arrayValue)
  }

  private func identities(_ query: String = "") throws -> [String?] {
    try entries(query).map { $0["message_id_header"]?.stringValue }
  }

  @Test("Each mail that was taken stands in it once, as what it is, in order; one that was refused does not")
  func taken() throws {
    let bob = try #require(try fixture.connect("bob@example.com")["access_token"]?.stringValue)
    let first = try fixture.send(mail(1), token: token).value
    fixture.clock.now = fixture.clock.now + .seconds(5)
    #expect(try fixture.send(Array("no mail".utf8), token: token).status == 400)
    #expect(try fixture.send(mail(9), token: "wrong").status == 401)
    #expect(try fixture.send(mail(9), token: token, thread: "0").status == 404)
    let second = try fixture.send(mail(2), token: bob).value
    let third = try fixture.send(mail(1), token: token, thread: first["threadId"]?.stringValue).value
    #expect(try identities() == ["<1@x>", "<2@x>", "<1@x>"])
    let entries = try entries()
    #expect(entries.map { $0["id"] } == [first["id"], second["id"], third["id"]])
    #expect(Set(entries.compactMap { $0["id"]?.stringValue }).count == 3)
    #expect(entries.map { $0["threadId"] } == [first["threadId"], second["threadId"], first["threadId"]])
    #expect(entries.map { $0["account"]?.stringValue } == ["ada@example.com", "bob@example.com", "ada@example.com"])
    #expect(entries.allSatisfy { $0["recipients"]?.int64Value == 4 })
    #expect(
      entries.map { $0["accepted_at"]?.stringValue?.prefix(19) }
        == ["2027-01-15T08:00:00", "2027-01-15T08:00:05", "2027-01-15T08:00:05"])
    #expect(try fixture.request(.get, "/sandbox/ledger").value["count"]?.int64Value == 3)
  }

  @Test("It is read in pieces that neither overlap nor leave any out")
  func pieces() throws {
    for number in 0..<7 { #expect(try fixture.send(mail(number), token: token).status == 200) }
    let all = (0..<7).map { Optional("<\($0)@x>") }
    #expect(try identities("?limit=3") == Array(all[0..<3]))
    #expect(try identities("?after=3&limit=3") == Array(all[3..<6]))
    #expect(try identities("?after=6&limit=3") == Array(all[6...]))
    #expect(try identities("?after=7").isEmpty && identities("?after=99").isEmpty)
    #expect(try identities("?after=-1&limit=-1").isEmpty && identities("?after=-1") == all)
  }

  @Test("Past its bound the oldest entries go, and are counted all the same")
  func bound() {
    var mailbox = Mailbox(seed: 1, maxLedgerEntries: 20)
    for number in 1...50 {
      mailbox.accept(
        StoredMessage(
          id: "\(number)", threadID: "t", account: "a", from: "a", to: [], cc: [], bcc: [], subject: "", messageID: nil,
          received: Timestamp(seconds: 0), raw: []))
      #expect(mailbox.acceptedCount == number && mailbox.ledger.count <= 20)
      #expect(mailbox.ledger.last?.id == "\(number)" && mailbox.ledger.first?.id == "\(mailbox.ledgerStart + 1)")
    }
  }

  @Test("Who reads on where he ended misses only what has gone")
  func readOn() throws {
    fixture.sandbox.mailbox = Mailbox(seed: 1, maxLedgerEntries: 10)
    for number in 0..<13 { #expect(try fixture.send(mail(number), token: token).status == 200) }
    #expect(try identities("?after=5&limit=2") == ["<5@x>", "<6@x>"])
    #expect(try identities() == (3..<13).map { "<\($0)@x>" } && identities("?after=12") == ["<12@x>"])
    #expect(try fixture.request(.get, "/sandbox/ledger").value["count"]?.int64Value == 13)
  }

  @Test("After a reset it begins anew, and no mail has an earlier one's id")
  func reset() throws {
    let first = try #require(try fixture.send(mail(1), token: token).value["id"]?.stringValue)
    _ = try fixture.request(.post, "/sandbox/reset")
    #expect(try entries().isEmpty)
    let second = try #require(try fixture.send(mail(2), token: token).value["id"]?.stringValue)
    #expect(second > first)
    #expect(try identities() == ["<2@x>"])
  }

  @Test("Large mails are forgotten when they are too much together, the newest stays, and each stays in the ledger")
  func bytes() {
    let most = 1000
    var mailbox = Mailbox(seed: 1, maxMessageBytes: most)
    func accept(_ id: String, _ bytes: Int) {
      mailbox.accept(
        StoredMessage(
          id: id, threadID: id, account: "a", from: "a", to: [], cc: [], bcc: [], subject: "", messageID: nil,
          received: Timestamp(seconds: 0), raw: [UInt8](repeating: 0, count: bytes)))
    }
    func kept() -> [String] { mailbox.latest(9).map(\.id) }
    accept("a", most / 2)
    accept("b", most / 2)
    #expect(kept() == ["b", "a"])
    accept("c", 1)
    #expect(kept() == ["c", "b"] && !mailbox.hasThread("a", of: "a"))
    accept("d", most / 2 - 1)
    #expect(kept() == ["d", "c", "b"])
    accept("e", most + 1)
    #expect(kept() == ["e"] && mailbox.acceptedCount == 5)
  }
}

@Suite("What is read of a mail")
struct MailReadingTests {
  private static let account = Account(address: "ada@example.com")!

  private func deliver(_ text: String) throws -> StoredMessage {
    try Delivery.message(
      of: SendRequest(media: Array(text.utf8), contentType: "message/rfc822"), account: Self.account, id: "1",
      threadID: "1", now: Timestamp(seconds: 7))
  }

  private func isRefused(_ text: String) -> Bool { (try? deliver(text)) == nil }

  @Test("Every Bcc goes, however it is written and wherever it stands; what looks like one in the body stays")
  func everyBcc() throws {
    let message = try deliver(
      "BCC: a@x.org\r\nFrom: ada@example.com\r\nTo: t@x.org\r\nbcc: b@x.org,\r\n c@x.org\r\nX-Bcc: kept\r\nBcc: d@x.org\r\n"
        + "\r\nBcc: body\r\n")
    #expect(message.bcc == ["a@x.org", "b@x.org", "c@x.org", "d@x.org"])
    #expect(
      String(decoding: message.raw, as: UTF8.self)
        == "From: ada@example.com\r\nTo: t@x.org\r\nX-Bcc: kept\r\n\r\nBcc: body\r\n")
    #expect(message.received == Timestamp(seconds: 7))
  }

  @Test("All recipients count against the bound, wherever they stand", arguments: ["Cc", "Bcc"])
  func recipientBound(field: String) throws {
    func mail(_ count: Int) -> String {
      "From: ada@example.com\r\nTo: t@x.org\r\n\(field): \((1..<count).map { "r\($0)@x.org" }.joined(separator: ",\r\n "))\r\n\r\n"
    }
    #expect(try deliver(mail(Delivery.maxRecipients)).recipients.count == 500)
    #expect(isRefused(mail(Delivery.maxRecipients + 1)))
  }

  @Test(
    "A recipient that is no address is refused, whichever field it stands in",
    arguments: ["To", "Cc", "Bcc"])
  func badRecipient(field: String) {
    #expect(isRefused("From: ada@example.com\r\nTo: t@x.org\r\n\(field): a@b@c\r\n\r\n"))
    #expect(isRefused("From: ada@example.com\r\nTo: t@x.org\r\n\(field): nobody\r\n\r\n"))
  }

  @Test(
    "Any From but the account's own, alone, is replaced, and a missing one is put there",
    arguments: [
      ("From: Ada <ADA@example.com>", true), ("from: ada@example.com", true), ("From: eve@example.com", false),
      ("From: eve@example.com, ada@example.com", false), ("From: ada@example.com\r\nFrom: ada@example.com", false),
      ("X: y", false),
    ])
  func from(field: String, isOwn: Bool) throws {
    let text = String(decoding: try deliver("\(field)\r\nTo: t@x.org\r\n\r\nbody").raw, as: UTF8.self)
    let kept = isOwn ? field : "From: ada@example.com" + (field == "X: y" ? "\r\nX: y" : "")
    #expect(text == "\(kept)\r\nTo: t@x.org\r\n\r\nbody")
  }

  @Test("Lines may end in LF alone, and a header may do without a body")
  func lineEnds() throws {
    let message = try deliver("From: ada@example.com\nTo: a@x.org,\n b@x.org\nSubject: one\n two\n\nbody\n")
    #expect(message.to == ["a@x.org", "b@x.org"] && message.subject == "one two")
    #expect(try deliver("From: ada@example.com\r\nTo: a@x.org").to == ["a@x.org"])
    #expect(try deliver("From: ada@example.com\r\nTo: a@x.org\r\n").to == ["a@x.org"])
  }

  @Test(
    "What is no header is refused",
    arguments: [
      "To: a@x.org\r\nno colon\r\n\r\n", "To: a@x.org\r\n: no name\r\n\r\n", "To: a@x.org\r\nSub ject: x\r\n\r\n",
      " folded\r\nTo: a@x.org\r\n\r\n", "To: a@x.org\r\nX\u{7f}: y\r\n\r\n",
    ])
  func noHeader(text: String) { #expect(isRefused(text)) }

  @Test("A header of 512 KiB is read, and a longer one is refused")
  func longHeader() throws {
    func mail(_ bytes: Int) -> String {
      let (head, tail) = ("To: a@x.org\r\nX: ", "\r\n\r\n")
      return head + String(repeating: "y", count: bytes - head.utf8.count - tail.utf8.count) + tail
    }
    // The empty line must begin within it.
    #expect(try deliver(mail(MailHeader.maxBytes + 1)).to == ["a@x.org"])
    #expect(isRefused(mail(MailHeader.maxBytes + 2)))
  }

  @Test(
    "Addresses of all kinds",
    arguments: [
      ("a@x.org", ["a@x.org"]), ("A <a@x.org>, b@x.org", ["a@x.org", "b@x.org"]),
      ("team: a@x.org, b@x.org;", ["a@x.org", "b@x.org"]),
      ("team: a@x.org;, B <b@x.org>", ["a@x.org", "b@x.org"]), ("undisclosed:;", []),
      ("a@x.org (one (two) c@x.org)", ["a@x.org"]), ("a@x.org (one \\) c@x.org)", ["a@x.org"]),
      (#""q\", c@x.org" <a@x.org>"#, ["a@x.org"]), (") (c) a@x.org", ["a@x.org"]),
      ("<a@x.org> trailing@x.org", ["a@x.org"]),
    ])
  func addresses(text: String, expected: [String]) { #expect(MailAddressList.addresses(text) == expected) }

  @Test(
    "Words that are encoded are read where they can be",
    arguments: [
      ("=?utf-8?q?a=20b_c?=", "a b c"), ("=?utf-8?B?YQ==?= =?us-ascii?Q?b?= c =?utf-8?q?d?=", "ab c d"),
      ("=?latin-1?q?a?=", "=?latin-1?q?a?="), ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
      ("=?utf-8?q?=G0?=", "=?utf-8?q?=G0?="),
      ("=?utf-8?q?=ff?=", "=?utf-8?q?=ff?="), ("=?utf-8?q?a", "=?utf-8?q?a"),
    ])
  func encodedWords(text: String, expected: String) { #expect(EncodedWords.decode(text) == expected) }
}
