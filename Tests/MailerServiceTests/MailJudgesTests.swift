import CivilTime
import Foundation
import MailSyntax
import Testing

@testable import MailerService

/// Mails with every field of the contract, read by three parsers of different makers: each must see what was given.
@Suite("Mails, read by three parsers", .enabled(if: PythonJudge.interpreter != nil))
struct MailJudgesTests {
  private struct File: Decodable, Equatable {
    var name: String?
    var id: String?
    var kind: String?
    var data: String
  }

  private struct Reading: Decodable, Equatable {
    var subject: String
    var texts: [String]
    var htmls: [String]
    var files: [File]
    var paths: [String]?
    var addresses: [String: [[String]]]
    var fields: [String: String]
    var defects: [String]
  }

  // MARK: The corpus

  private static let names = [
    "Bob", "Ann Lee", "Lee, Ann", "Dr. \"X\" Y", "Grüße", "日本語 太郎", "👩‍👩‍👧‍👦", "a (b) <c>", "=?utf-8?q?x?=",
    String(repeating: "Ä", count: 90), "back\\slash",
  ]
  private static let subjects = names + ["", "Re: 50% = half?", String(repeating: "word ", count: 40) + "end"]
  private static let bodies = [
    "", "Hi", "Hi\n", "a\r\nb\rc\nd\r\n\r\n", ".\n..\n.dot at the start\n", "From here\n>From there\n",
    "trailing  \ntab\t\nend ",
    String(repeating: "x", count: 3000), String(repeating: "lang und schön ", count: 200), "日本語\n\n\nテキスト", "=3D =\n=",
    "--=_boundary\n--\n", "\u{0}\u{1}\u{7F}", String(repeating: "é", count: 2000) + "\n",
  ]
  private static let filenames = [
    "a.txt", "two words.pdf", "Übersicht \"1\"; a=b.csv", "日本語のとても長いファイル名.docx", "100%'*.bin",
    String(repeating: "long", count: 40) + ".zip", "=?utf-8?q?x?=.png", "semi;colon", "back\\slash.txt",
  ]
  private static let contents: [[UInt8]] = [
    [], [0], [13, 10], Array("plain text\r\n".utf8), Array(repeating: 0xff, count: 57),
    (0..<1000).map { UInt8($0 & 255) },
  ]

  private static func draft(_ index: Int) -> MessageDraft {
    func pick<T>(_ list: [T], _ step: Int) -> T { list[(index * step + index / list.count) % list.count] }
    var draft = MessageDraft()
    draft.to = [.init(email: "to@b.example", name: pick(names, 1)), .init(email: "\"a b\"@b.example")]
    if index % 2 == 0 { draft.cc = [.init(email: "cc@bücher.example", name: pick(names, 3))] }
    if index % 3 == 0 {
      draft.bcc = [.init(email: "hidden@b.example"), .init(email: "h2@b.example", name: pick(names, 5))]
    }
    draft.subject = pick(subjects, 1)
    draft.fromName = pick(names, 7)
    if index % 5 != 1 { draft.text = pick(bodies, 1) }
    if index % 5 == 1 || index % 2 == 1 { draft.html = "<p>\(pick(bodies, 3))</p><img src=\"cid:pic\">" }
    for number in 0..<(index % 4) {
      draft.attachments.append(
        .init(
          filename: filenames[(index + number) % filenames.count],
          contentType: ["application/pdf", "text/csv; charset=utf-8", ""][number % 3],
          content: contents[(index / 2 + number) % contents.count]))
    }
    if index % 3 == 1 {
      draft.attachments.append(
        .init(filename: "pic.png", contentType: "image/png", content: [1, 2, 3], contentID: "pic"))
    }
    draft.headers = [
      .init(name: "List-Unsubscribe", value: "<https://u.example/\(String(repeating: "t", count: index * 7 % 300))>"),
      .init(name: "X-Note", value: pick(names, 9)),
    ]
    return draft
  }

  private static func expected(_ message: OutgoingMessage, _ judge: MailJudge) -> Reading {
    func lines(_ text: String) -> String {
      Data(String(decoding: BodyText(text).canonical, as: UTF8.self).replacing("\r\n", with: "\n").utf8)
        .base64EncodedString()
    }
    func list(_ addresses: [MailAddress]) -> [[String]] {
      addresses.map { [$0.displayName ?? "", $0.specification] }
    }
    var addresses = ["From": [[message.fromName ?? "", "ann@example.com"]], "To": list(message.to)]
    if !message.cc.isEmpty { addresses["Cc"] = list(message.cc) }
    if !message.bcc.isEmpty { addresses["Bcc"] = list(message.bcc) }
    let named = message.attachments.filter { $0.disposition == .inline && $0.contentID != nil }
    let inline = message.html == nil ? [] : named
    let attached =
      message.html == nil
      ? message.attachments : message.attachments.filter { $0.disposition != .inline || $0.contentID == nil }
    let outer = attached.isEmpty ? "" : "multipart/mixed>"
    let middle = message.text != nil && message.html != nil ? "multipart/alternative>" : ""
    let inner = inline.isEmpty ? "" : "multipart/related>"
    var paths: [String] = []
    if message.text != nil { paths.append(outer + middle + "text/plain") }
    if message.html != nil { paths.append(outer + middle + inner + "text/html") }
    paths += inline.map { outer + middle + inner + "\($0.mediaType.type)/\($0.mediaType.subtype)" }
    paths += attached.map { outer + "\($0.mediaType.type)/\($0.mediaType.subtype)" }
    return Reading(
      subject: message.subject, texts: message.text.map { judge.flattens && $0.isEmpty ? [] : [lines($0)] } ?? [],
      htmls: message.html.map { [lines($0)] } ?? [],
      files: (inline + attached).map {
        File(
          name: judge.flattens ? $0.filename.replacing("=?utf-8?q?x?=", with: "x") : $0.filename,
          id: $0.contentID.map { "<\($0)>" }, kind: judge.flattens ? nil : $0.disposition.rawValue,
          data: Data($0.content).base64EncodedString())
      },
      paths: judge.flattens ? nil : paths, addresses: addresses,
      fields: [
        "Message-ID": "<\(MIMEBuilderTests.id)@example.com>", "Date": OutgoingMessageTests.now.mailDate,
        "List-Unsubscribe": message.headers[0].value, "X-Note": message.headers[1].value,
      ], defects: [])
  }

  // MARK: The verdicts

  @Test("Each parser sees what was given", arguments: MailJudge.all)
  func corpus(_ judge: MailJudge) throws {
    let messages = try (0..<180).map { try OutgoingMessage(Self.draft($0), now: OutgoingMessageTests.now) }
    var mails: [[UInt8]] = []
    for (index, message) in messages.enumerated() {
      let builder = MIMEBuilder(
        from: try MailAddress("ann@example.com").named(message.fromName), messageID: MIMEBuilderTests.id,
        date: OutgoingMessageTests.now, randomness: (UInt64(index), 2))
      mails.append(builder.build(message))
    }
    let readings: [Reading] = try judge.read(mails)
    try #require(readings.count == messages.count)
    for (index, (message, reading)) in zip(messages, readings).enumerated() {
      let expected = Self.expected(message, judge)
      #expect(reading == expected, "mail \(index)")
      if reading != expected { break }
    }
  }

  @Test("Each parser notices what is wrong", arguments: MailJudge.all)
  func broken(_ judge: MailJudge) throws {
    let message = try OutgoingMessage(Self.draft(3), now: OutgoingMessageTests.now)
    let builder = MIMEBuilder(
      from: try MailAddress("ann@example.com").named(message.fromName), messageID: MIMEBuilderTests.id,
      date: OutgoingMessageTests.now, randomness: (1, 2))
    let mail = String(decoding: builder.build(message), as: UTF8.self)
    let changes = [
      ("Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: 7bit"), ("\r\nSubject: ", "\r\nSubject: x"),
      ("\r\nDate: ", "\r\nX-Date: "), ("filename", "filenome"), ("\r\nTo: ", "\r\nTo: evil@x.example, "),
    ]
    let readings: [Reading] = try judge.read(changes.map { Array(mail.replacing($0.0, with: $0.1).utf8) })
    try #require(readings.count == changes.count)
    for (change, reading) in zip(changes, readings) {
      #expect(reading != Self.expected(message, judge), "\(change)")
    }
  }
}
