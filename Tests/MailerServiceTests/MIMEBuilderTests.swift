import CivilTime
import Foundation
import MailSyntax
import Testing

@testable import MailerService

@Suite("The built mail, read by Python's email package", .enabled(if: PythonJudge.interpreter != nil))
struct MIMEBuilderTests {
  static let id = UniqueID(at: OutgoingMessageTests.now, random: (7, 9))

  static func build(_ change: (inout MessageDraft) -> Void) throws -> [UInt8] {
    let message = try OutgoingMessage(OutgoingMessageTests.draft(change), now: OutgoingMessageTests.now)
    let from = try MailAddress("ann@example.com").named(message.fromName)
    let builder = MIMEBuilder(from: from, messageID: id, date: OutgoingMessageTests.now, randomness: (1, 2))
    return builder.build(message)
  }

  static func read(_ change: (inout MessageDraft) -> Void) throws -> PythonJudge.Verdict {
    let verdict = try PythonJudge.read(build(change))
    #expect(verdict.defects == [])
    #expect(verdict.isASCII)
    #expect(verdict.longestLine <= 76)
    return verdict
  }

  @Test("A plain message has its headers once and its text unchanged")
  func plain() throws {
    let verdict = try Self.read {
      $0.cc = [.init(email: "c@example.com", name: "C. D.")]
      $0.bcc = [.init(email: "hidden@example.com"), .init(email: "h2@example.com")]
      $0.fromName = "Ann Lee"
      $0.replyTo = [.init(email: "desk@example.com")]
      $0.text = "Hi\nthere"
    }
    #expect(
      verdict.headers.map { $0[0] } == [
        "From", "To", "Cc", "Bcc", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
      ])
    #expect(verdict.addresses["From"] == [.init(name: "Ann Lee", email: "ann@example.com")])
    #expect(verdict.addresses["Cc"] == [.init(name: "C. D.", email: "c@example.com")])
    #expect(verdict.addresses["Bcc"]?.map(\.email) == ["hidden@example.com", "h2@example.com"])
    #expect(verdict.header("Message-ID") == ["<\(Self.id)@example.com>"])
    #expect(verdict.header("Date") == [OutgoingMessageTests.now.mailDate])
    #expect(verdict.parts.count == 1)
    #expect(verdict.parts[0].type == "text/plain")
    #expect(verdict.parts[0].charset == "utf-8")
    #expect(verdict.parts[0].text == "Hi\r\nthere")
  }

  @Test(
    "Every subject comes back as it was given",
    arguments: [
      "", "Hello", "Grüße aus München", "日本語の件名です。とても長いので何行にも折り返されるはずのものになります。もっと長く。",
      "👩‍👩‍👧‍👦 family 👩‍👩‍👧‍👦 family 👩‍👩‍👧‍👦 family 👩‍👩‍👧‍👦", "=?utf-8?q?not_encoded?=", "a  b   c", " lead", "trail ", "a, b; \"c\" <d> (e)",
      String(repeating: "long words in a plain subject ", count: 12) + "end", String(repeating: "x", count: 900),
      "tab?=equals=underscore_", "Ünï " + String(repeating: "c", count: 200),
    ])
  func subjects(subject: String) throws {
    let verdict = try Self.read { $0.subject = subject }
    #expect(verdict.header("Subject") == [subject])
  }

  @Test(
    "Every display name comes back as it was given",
    arguments: [
      "Ann", "Lee, Ann", "Ann \"A\" \\ Lee", "Jörg Müller", "株式会社メール配信サービス東京本社営業部第一課 山田太郎", "=?utf-8?q?x?=",
      "a@b.example", "(x)",
      String(repeating: "n", count: 255), "O'Neil & Sons", "Dr. No",
    ])
  func names(name: String) throws {
    let verdict = try Self.read {
      $0.fromName = name
      $0.to = [.init(email: "a@example.com", name: name), .init(email: "b@example.com", name: name)]
    }
    #expect(verdict.addresses["From"] == [.init(name: name, email: "ann@example.com")])
    #expect(verdict.addresses["To"]?.map(\.name) == [name, name])
    #expect(verdict.addresses["To"]?.map(\.email) == ["a@example.com", "b@example.com"])
  }

  @Test(
    "Every text comes back, line ends as CRLF, whatever encoding it needed",
    arguments: [
      "", "plain", "\n", "a\r\nb\rc\nd", "Grüße\n\nJörg", "trailing space \nand tab\t\nend ", "From me\n.\n..\n.hidden",
      String(repeating: "x", count: 5000), String(repeating: "日本語", count: 500), "a=b=c\n=\n==\n= ",
      "bell\u{7} nul\u{0} esc\u{1B}",
      String(repeating: "é", count: 75) + "\nFrom x", String(repeating: "a", count: 76),
      String(repeating: "a", count: 77),
      String(repeating: "a", count: 75) + "\u{E9}", String(repeating: "Fa.", count: 60) + "é", "sep\u{2028}x",
    ])
  func texts(text: String) throws {
    let verdict = try Self.read { $0.text = text }
    var expected = ""
    var previous: Unicode.Scalar?
    for scalar in text.unicodeScalars {
      if scalar == "\r" || scalar == "\n" && previous != "\r" { expected += "\r\n" }
      if scalar != "\r", scalar != "\n" { expected.unicodeScalars.append(scalar) }
      previous = scalar
    }
    #expect(verdict.parts[0].text.map { Array($0.utf8) } == Array(expected.utf8))
  }

  @Test("Text, HTML, images and attachments nest as mixed, alternative, related")
  func nesting() throws {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let verdict = try Self.read {
      $0.html = "<p>Hi <img src=\"cid:logo@x\"></p>"
      $0.attachments = [
        .init(filename: "logo.png", contentType: "image/png", content: bytes, contentID: "logo@x"),
        .init(filename: "résumé für Jörg.pdf", contentType: "application/pdf", content: bytes),
        .init(filename: "empty.bin", content: []),
      ]
    }
    let parts = verdict.parts
    #expect(
      parts.map(\.type) == ["text/plain", "text/html", "image/png", "application/pdf", "application/octet-stream"])
    #expect(parts[0].path == ["multipart/mixed", "multipart/alternative"])
    #expect(parts[1].path == ["multipart/mixed", "multipart/alternative", "multipart/related"])
    #expect(parts[2].path == parts[1].path)
    #expect(parts[3].path == ["multipart/mixed"])
    #expect(parts[2].contentID == "<logo@x>")
    #expect(parts[2].disposition == "inline")
    #expect(parts[3].disposition == "attachment")
    #expect(parts[3].filename == "résumé für Jörg.pdf")
    #expect(parts[3].base64 == Data(bytes).base64EncodedString())
    #expect(parts[4].base64 == "")
  }

  @Test("An inline file that the HTML cannot name stands beside the text, where mail programs show it")
  func unnamedInline() throws {
    let verdict = try Self.read {
      $0.html = "<p>Hi</p>"
      $0.attachments = [.init(filename: "contract.pdf", content: [1], disposition: "inline")]
    }
    #expect(verdict.parts.last?.path == ["multipart/mixed"])
    #expect(verdict.parts.last?.disposition == "inline")
  }

  @Test("Levels with one member are left out")
  func flat() throws {
    #expect(
      try Self.read {
        $0.html = "<p>x</p>"; $0.text = nil
      }.parts[0].path == [])
    #expect(
      try Self.read { $0.html = "<p>x</p>" }.parts.map(\.path) == [
        ["multipart/alternative"], ["multipart/alternative"],
      ])
    let attached = try Self.read { $0.attachments = [.init(filename: "a", contentID: "a@b")] }
    #expect(attached.parts.map(\.path) == [["multipart/mixed"], ["multipart/mixed"]])
  }

  @Test(
    "Every file name comes back as it was given",
    arguments: [
      "a.pdf", "with space.pdf", "quote\"s\\.pdf", "名前がとても長いファイル名のテストでございます何行にもなるはずです.xlsx", "semi;colon=x.txt",
      "100%.txt", "it's*.txt",
      String(repeating: "n", count: 250) + ".txt", "=?utf-8?q?x?=.txt", "é",
    ])
  func filenames(filename: String) throws {
    let verdict = try Self.read {
      $0.attachments = [.init(filename: filename, contentType: "application/x-a", content: [1])]
    }
    #expect(verdict.parts[1].filename == filename)
  }

  @Test("500 recipients fold and come back")
  func manyRecipients() throws {
    let verdict = try Self.read {
      $0.to = (0..<500).map { .init(email: "user\($0)@example.com", name: $0 % 2 == 0 ? "Usér \($0)" : nil) }
    }
    #expect(verdict.addresses["To"]?.count == 500)
    #expect(verdict.addresses["To"]?[498] == .init(name: "Usér 498", email: "user498@example.com"))
  }

  @Test("Extra headers stand as given; long reference chains fold between ids")
  func extraHeaders() throws {
    let references = (0..<20).map { "<message-\($0)@mail.example.com>" }.joined(separator: " ")
    let verdict = try Self.read {
      $0.headers = [
        .init(name: "X-Campaign", value: "Frühling, 20 %"), .init(name: "References", value: references),
        .init(name: "List-Unsubscribe", value: "<https://example.com/u?id=1>, <mailto:u@example.com>"),
      ]
    }
    #expect(verdict.header("X-Campaign") == ["Frühling, 20 %"])
    #expect(verdict.header("References") == [references])
    #expect(verdict.header("List-Unsubscribe") == ["<https://example.com/u?id=1>, <mailto:u@example.com>"])
  }

  @Test("Random text in every field never makes a header of its own")
  func random() throws {
    var random = SystemRandomNumberGenerator()
    let alphabet: [Unicode.Scalar] = [
      "a", "B", " ", "=", "?", "\"", "\\", "<", ">", "@", ",", ";", ":", "(", ")", "é", "日", "😀", "_", "%", "'", ".",
    ]
    for _ in 0..<25 {
      func text(_ count: Int) -> String {
        var view = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 1...count, using: &random) { view.append(alphabet.randomElement(using: &random)!) }
        return String(view)
      }
      let subject = text(120)
      let name = HeaderText.trimmingSpaces(text(40))
      let filename = "f" + HeaderText.trimmingSpaces(text(90))
      let body = text(400)
      let verdict = try Self.read {
        $0.subject = subject
        $0.to = [.init(email: "b@example.com", name: name)]
        $0.text = body
        $0.attachments = [.init(filename: filename, contentType: "application/x-a", content: Array(body.utf8))]
      }
      #expect(verdict.header("Subject") == [subject])
      #expect(verdict.addresses["To"] == [.init(name: name, email: "b@example.com")])
      #expect(verdict.parts[0].text == body)
      #expect(verdict.parts[1].filename == filename)
      #expect(verdict.headers.count == 7)
    }
  }
}

@Suite("Identifiers and encodings")
struct EncodingTests {
  @Test(
    "What a server on the way might change never stands bare: white space at an end, a dot or From at a beginning",
    arguments: [
      "end \nx", "end\t\nx", "end\t", ".", "x\n.hidden", "From me", "x\nFrom me", "é\t\n.x\nFrom é",
      String(repeating: "a", count: 77), String(repeating: "a.", count: 60) + "é",
    ])
  func fragileLines(text: String) {
    let body = BodyText(text)
    var bytes: [UInt8] = []
    body.append(to: &bytes)
    #expect(body.encoding != .sevenBit)
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\r\n") {
      #expect(line.utf8.count <= 76 && line.last != " " && line.last != "\t")
      #expect(!line.hasPrefix(".") && !line.hasPrefix("From "))
    }
  }

  @Test("No header is folded before its first word, which some software takes for an empty field")
  func firstWord() {
    let word = String(repeating: "w", count: 100)
    var writer = HeaderWriter()
    writer.field("X-A", words: [word, "b"])
    #expect(String(decoding: writer.bytes, as: UTF8.self) == "X-A: \(word)\r\n b\r\n")
  }

  @Test("An encoded-word has nothing bare that a phrase may not have (RFC 2047 section 5)")
  func encodedWord() {
    #expect(EncodedWord.words("é, and some more text.") == ["=?utf-8?q?=C3=A9=2C_and_some_more_text=2E?="])
  }

  @Test("Both base64 alphabets agree with Foundation's at every length")
  func base64() {
    let piece = MailBase64.pieceBytes
    for count in Array(0...130) + [piece - 1, piece, piece + 1, 2 * piece, 2 * piece + 58] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 89 &+ 251) }
      var url: [UInt8] = []
      MailBase64.appendURLSafe(bytes, to: &url)
      let plain = Data(bytes).base64EncodedString()
      let expected = plain.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
      #expect(String(decoding: url, as: UTF8.self) == expected)
      var lines: [UInt8] = []
      MailBase64.appendLines(bytes, to: &lines)
      #expect(lines.count == MailBase64.linesSize(count))
      let text = String(decoding: lines, as: UTF8.self)
      #expect(text.replacing("\r\n", with: "") == plain)
      #expect(text.split(separator: "\r\n").dropLast().allSatisfy { $0.utf8.count == 76 })
    }
  }
}
