import Foundation
import HTTPSClient
import MailSyntax
import StrictJSON
import TLSSession
import TestSupport
import Testing

@testable import MailerService

/// Random mail with hostile pieces in every field that reaches a header, read by three parsers: what is not refused must
/// come back as it was given, and nothing else may stand in the mail. `TEST_MIME_MAILS=100000 script/test --filter
/// HostileMailTests` tries the full count, as `script/promises --full` does; `TEST_SEED` asks for other mail.
@Suite("Hostile mail, read by three parsers", .enabled(if: PythonJudge.interpreter != nil))
struct HostileMailTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let count = environment["TEST_MIME_MAILS"].flatMap { Int($0) } ?? 500
  private static let seed = environment["TEST_SEED"].flatMap { UInt64($0) } ?? 1

  fileprivate static let plain = [
    "Hello", "Grüße", "日本語", "👩‍👩‍👧‍👦", "a, b; c", "\"quoted\"", "back\\slash", "(comment)", "<x@y.example>", "=?utf-8?q?x?=",
    "=?utf-8?q?=0D=0ABcc:_evil@x.example?=", "Bcc: evil@x.example", "é\u{301}", "name*=utf-8''x", "; filename=\"evil\"",
    "a  b",
    "?=", "%0d%0aBcc:", "--=_boundary", String(repeating: "x", count: 90), "'", "*", "@", ":", "ü,ö;ä", "=",
  ]
  fileprivate static let hostile = [
    "\r\nBcc: evil@x.example", "\nX-Injected: 1", "\r\n\r\n<script>", "\rX-Injected: 1", "\0", "\u{7F}",
    "\u{85}X-Injected: 1",
    "\u{2028}X-Injected: 1", "\u{2029}", "\u{B}X-Injected: 1", "\u{C}", "\t", "\u{1B}[2J",
  ]

  private struct Reading: Decodable {
    var names: [String]
    var parts: [[String]]
    var subject: String?
    var custom: String?
    /// Of the others that a sender may add, by their names.
    var others: [String: String]?
    var filenames: [String?]?
    var ids: [String?]
    var recipients: [String]
    var defects: [String]
  }

  private struct Built {
    var message: OutgoingMessage
    var mail: [UInt8]
  }

  /// One field alone may be hostile: with several a mail would always be refused for another one's sake, and a field that
  /// lets something through never be seen.
  private static func draft(_ random: inout SeededRandom) -> MessageDraft {
    let hostileField = Int.random(in: 1...20, using: &random)
    var field = 0
    func isHostile() -> Bool {
      field += 1
      return field == hostileField
    }
    var draft = MessageDraft()
    draft.to = [.init(email: "to@b.example", name: random.text(isHostile()))]
    // A name and angle brackets, as people paste them.
    if isHostile() { draft.to.append(.init(email: random.text(true) + " <x@b.example>")) }
    if Bool.random(using: &random) {
      draft.cc = [.init(email: isHostile() ? "cc@b.example" + hostile.randomElement(using: &random)! : "cc@b.example")]
    }
    if Bool.random(using: &random) {
      draft.bcc = [.init(email: random.name(isHostile()) + "@b.example", name: random.text(isHostile()))]
    }
    if Bool.random(using: &random) {
      draft.replyTo = [
        .init(email: "reply@b.example", name: random.text(isHostile())),
        .init(email: random.name(isHostile()) + "@b.example"),
      ]
    }
    if Bool.random(using: &random) { draft.threadID = random.name(isHostile()) }
    draft.subject = random.text(isHostile())
    draft.fromName = random.text(isHostile())
    draft.text = random.text(true)
    draft.headers = [.init(name: "X-Custom", value: random.text(isHostile()))]
    // Of threads and lists, and one whose name is the sender's own.
    for name in ["References", "In-Reply-To", "List-Unsubscribe", "List-Id", "X-\(random.name(isHostile()))"]
    where Bool.random(using: &random) {
      let id = "<\(random.name(isHostile()))@b.example>"
      let value =
        switch name {
        case "References": "\(id) <\(String(repeating: "x", count: 90))@b.example> <y@b.example>"
        case "In-Reply-To": id
        default: "\(random.name(isHostile())) \(id)"
        }
      draft.headers.append(.init(name: name, value: value))
    }
    let contentType = isHostile() ? ["text/plain;\r\n x=y", ""].randomElement(using: &random)! : "text/plain"
    draft.attachments = [.init(filename: random.text(isHostile()), contentType: contentType, content: [1])]
    if Bool.random(using: &random) { draft.attachments[0].contentID = random.name(isHostile()) }
    if Bool.random(using: &random) {
      draft.html = random.text(true)
      draft.attachments[0].disposition = "attachment"  // else it might be an image of the page
    }
    return draft
  }

  /// So many mails that are not refused, as they are given to Gmail, and how many were.
  private static let corpus: Result<(built: [Built], refused: Int), any Error> = Result {
    var random = SeededRandom(seed: seed)
    var (built, refused): ([Built], Int) = ([], 0)
    while built.count < count {
      let draft = draft(&random)
      guard let message = try? OutgoingMessage(draft, now: OutgoingMessageTests.now) else {
        refused += 1
        continue
      }
      let from = try MailAddress("ann@example.com").named(message.fromName)
      let builder = MIMEBuilder(
        from: from, messageID: MIMEBuilderTests.id, date: OutgoingMessageTests.now, randomness: (random.next(), 2))
      built.append(Built(message: message, mail: builder.build(message)))
    }
    return (built, refused)
  }

  @Test("What is not refused comes back as it was given, with nothing added", arguments: MailJudge.all)
  func corpus(_ judge: MailJudge) throws {
    let (built, refused) = try Self.corpus.get()
    #expect(refused > Self.count / 5 && refused < 4 * Self.count)
    let readings: [Reading] = try judge.read(built.map(\.mail), "headers")
    #expect(readings.count == built.count)
    var faults = 0
    for (built, reading) in zip(built, readings) where !Self.isFaithful(reading, to: built.message, judge) {
      faults += 1
      if faults <= 5 { Issue.record("\(reading)\n\(String(decoding: built.mail, as: UTF8.self))") }
    }
    #expect(faults == 0)
  }

  private static func isFaithful(_ reading: Reading, to message: OutgoingMessage, _ judge: MailJudge) -> Bool {
    let names =
      ["From", "To"] + (message.cc.isEmpty ? [] : ["Cc"]) + (message.bcc.isEmpty ? [] : ["Bcc"])
      + (message.replyTo.isEmpty ? [] : ["Reply-To"]) + ["Subject", "Date", "Message-ID"] + message.headers.map(\.name)
      + ["MIME-Version", "Content-Type"]
    let file = message.attachments[0]
    let id = file.contentID.map { "<\($0)>" }
    let recipients = (message.to + message.cc + message.bcc + message.replyTo).map(\.specification)
    guard reading.defects.isEmpty, reading.recipients == recipients, reading.ids == [id]
    else {
      return false
    }
    if judge.flattens { return reading.names == names.sorted() }
    // Words may be folded anywhere.
    let others = message.headers.dropFirst().map { header in
      (header.name, header.form == .text ? header.value : header.value.split(separator: " ").joined(separator: " "))
    }
    let part =
      ["Content-Disposition"] + (id == nil ? [] : ["Content-ID"]) + ["Content-Transfer-Encoding", "Content-Type"]
    return reading.names == names && reading.parts.count == 2 && reading.parts[1].sorted() == part
      && reading.parts[0].allSatisfy { ["Content-Type", "Content-Transfer-Encoding"].contains($0) }
      && reading.subject == message.subject && reading.custom == message.headers[0].value
      && reading.filenames == [file.filename] && reading.others == Dictionary(uniqueKeysWithValues: others)
  }

  @Test("Each parser notices what was put into a header", arguments: MailJudge.all)
  func injected(_ judge: MailJudge) throws {
    let built = try #require(try Self.corpus.get().built.first { $0.message.attachments[0].contentID != nil })
    let mail = String(decoding: built.mail, as: UTF8.self)
    let changes = [
      ("\r\nSubject: ", "\r\nX-Injected: 1\r\nSubject: "), ("\r\nTo: ", "\r\nBcc: evil@x.example\r\nTo: "),
      ("\r\nTo: ", "\r\nTo: evil@x.example, "), ("\r\nContent-ID: <", "\r\nContent-ID: <x"),
    ]
    let readings: [Reading] = try judge.read(
      [built.mail] + changes.map { Array(mail.replacing($0, with: $1).utf8) }, "headers")
    #expect(readings.map { Self.isFaithful($0, to: built.message, judge) } == [true, false, false, false, false])
  }

  @Test("No line is too long or broken, and the form that Gmail gets holds the mail and its thread alone")
  func lines() throws {
    for built in try Self.corpus.get().built {
      let lines = built.mail.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      #expect(
        lines.dropLast().allSatisfy { $0.last == 0x0D && $0.dropLast().count <= 998 && !$0.dropLast().contains(0x0D) })
      let form = try JSONValue(
        parsing: Array(GmailForm(mail: built.mail, threadID: built.message.threadID).body.chunks.joined()))
      #expect(form["raw"]?.stringValue.flatMap { Base64.decode($0, .urlSafe) } == built.mail)
      #expect(form["threadId"]?.stringValue == built.message.threadID)
      #expect(form.objectValue?.count == (built.message.threadID == nil ? 1 : 2))
    }
  }
}

extension SeededRandom {
  /// Some pieces; with `hostility` one of them may be a hostile one.
  fileprivate mutating func text(_ hostility: Bool) -> String {
    var pieces = (0..<Int.random(in: 1...4, using: &self)).map { _ in
      HostileMailTests.plain.randomElement(using: &self)!
    }
    if hostility, Bool.random(using: &self) {
      pieces.insert(
        HostileMailTests.hostile.randomElement(using: &self)!, at: Int.random(in: 0...pieces.count, using: &self))
    }
    return pieces.joined(separator: Bool.random(using: &self) ? " " : "")
  }

  /// What an identifier may be; with `hostility` it may be a hostile one.
  fileprivate mutating func name(_ hostility: Bool) -> String {
    hostility && Bool.random(using: &self) ? text(true) : "id-\(Int.random(in: 0..<1000, using: &self))"
  }
}
