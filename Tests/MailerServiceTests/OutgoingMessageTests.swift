import CivilTime
import ServiceContracts
import Testing
import WireCodec

@testable import MailerService

@Suite("The rules of a message")
struct OutgoingMessageTests {
  static let now = Timestamp(seconds: 1_795_343_940)

  static func draft(_ change: (inout MessageDraft) -> Void = { _ in }) -> MessageDraft {
    var draft = MessageDraft()
    draft.to = [.init(email: "bob@example.com")]
    draft.subject = "Hello"
    draft.text = "Hi"
    change(&draft)
    return draft
  }

  static func violations(_ change: (inout MessageDraft) -> Void) -> [String] {
    do throws(InvalidMessage) {
      _ = try OutgoingMessage(draft(change), now: now)
      return []
    } catch {
      return error.violations.map(\.field)
    }
  }

  @Test("A plain message is taken")
  func plain() throws {
    let message = try OutgoingMessage(Self.draft(), now: Self.now)
    #expect(message.recipientCount == 1)
    #expect(message.recipientKeys == ["bob@example.com"])
  }

  @Test("Every member of a request is one of its draft")
  func wholeRequest() throws {
    func address(_ name: String) -> Mailer.Address {
      Mailer.Address {
        $0.email = "\(name)@example.com"
        $0.name = name
      }
    }
    let draft = try MessageDraft(
      Mailer.SendMessageRequest {
        $0.to = [address("to"), Mailer.Address { $0.email = "nameless@example.com" }]
        $0.cc = [address("cc")]
        $0.bcc = [address("bcc")]
        $0.subject = "subject"
        $0.body = "text"
        $0.html = "<p>"
        $0.fromEmail = "from@example.com"
        $0.fromName = "from"
        $0.replyTo = [address("reply")]
        $0.attachments = [
          Mailer.Attachment {
            $0.filename = "f.png"
            $0.contentType = "image/png"
            $0.content = [1, 2]
            $0.contentID = "logo"
            $0.disposition = .inline
          }, Mailer.Attachment { $0.filename = "g" },
        ]
        $0.headers = [
          Mailer.Header {
            $0.name = "X-A"
            $0.value = "1"
          }
        ]
        $0.threadID = "thread"
        $0.metadata = ["deal": "7"]
        $0.sendAt = ProtobufTimestamp(Self.now)
      })
    var expected = MessageDraft()
    expected.to = [.init(email: "to@example.com", name: "to"), .init(email: "nameless@example.com")]
    expected.cc = [.init(email: "cc@example.com", name: "cc")]
    expected.bcc = [.init(email: "bcc@example.com", name: "bcc")]
    expected.subject = "subject"
    expected.text = "text"
    expected.html = "<p>"
    expected.fromEmail = "from@example.com"
    expected.fromName = "from"
    expected.replyTo = [.init(email: "reply@example.com", name: "reply")]
    expected.attachments = [
      .init(
        filename: "f.png", contentType: "image/png", content: [1, 2], contentID: "logo", disposition: "inline"),
      .init(filename: "g"),
    ]
    expected.headers = [.init(name: "X-A", value: "1")]
    expected.threadID = "thread"
    expected.metadata = [.init(name: "deal", value: "7")]
    expected.sendAt = Self.now
    #expect(draft == expected)
  }

  @Test("Every wrong field is named at once")
  func allAtOnce() {
    let fields = Self.violations {
      $0.to = [.init(email: "x")]
      $0.cc = [.init(email: "a@example.com"), .init(email: "y@")]
      $0.subject = "a\r\nBcc: b@example.com"
      $0.text = nil
      $0.provider = "smtp"
      $0.threadID = "no such id"
    }
    #expect(fields == ["to[0]", "cc[1]", "subject", "body", "thread_id", "provider"])
  }

  @Test("A recipient may stand in cc or bcc alone; 500 in sum are taken, 501 are not")
  func recipients() {
    #expect(Self.violations { $0.to = [] } == ["to"])
    #expect(
      Self.violations {
        $0.bcc = $0.to; $0.to = []
      }.isEmpty)
    let many = (0..<500).map { MessageDraft.Address(email: "u\($0)@example.com") }
    #expect(
      Self.violations {
        $0.to = Array(many.prefix(200)); $0.cc = Array(many.suffix(300))
      }.isEmpty)
    #expect(
      Self.violations {
        $0.to = many; $0.cc = [.init(email: "one@example.com")]
      } == ["to"])
    #expect(Self.violations { $0.to = many + many } == ["to"])
  }

  /// Through the edge there were never more.
  @Test("100 attachments are taken, 101 are not")
  func attachments() {
    let many = (0...100).map { MessageDraft.Attachment(filename: "\($0).txt") }
    #expect(Self.violations { $0.attachments = Array(many.dropLast()) }.isEmpty)
    #expect(Self.violations { $0.attachments = many } == ["attachments"])
  }

  @Test("A subject of 998 scalars is taken, of 999 not")
  func subject() {
    #expect(Self.violations { $0.subject = String(repeating: "é", count: 998) }.isEmpty)
    #expect(Self.violations { $0.subject = String(repeating: "é", count: 999) } == ["subject"])
  }

  @Test(
    "An attachment's name is no path",
    arguments: ["../../etc/passwd", "a/b", "/", "..", ".", " .. "])
  func paths(name: String) {
    #expect(
      Self.violations { $0.attachments = [.init(filename: "a..b.txt"), .init(filename: name)] }
        == ["attachments[1].filename"])
  }

  @Test(
    "No control character or line break of any kind reaches a header",
    arguments: ["\r", "\n", "\u{0}", "\u{B}", "\u{C}", "\u{7F}", "\u{85}", "\u{2028}", "\u{2029}"])
  func controls(character: String) {
    let text = "a\(character)b"
    #expect(Self.violations { $0.subject = text } == ["subject"])
    #expect(Self.violations { $0.fromName = text } == ["from_name"])
    #expect(Self.violations { $0.to[0].name = text } == ["to[0]"])
    #expect(Self.violations { $0.replyTo = [.init(email: "a@example.com", name: text)] } == ["reply_to[0]"])
    #expect(Self.violations { $0.headers = [.init(name: "X-A", value: text)] } == ["headers.X-A"])
    #expect(Self.violations { $0.threadID = text } == ["thread_id"])
    #expect(
      Self.violations { $0.attachments = [.init(filename: text, contentType: "text/plain")] }
        == ["attachments[0].filename"])
    #expect(
      Self.violations { $0.attachments = [.init(filename: "a", contentType: text)] } == ["attachments[0].content_type"])
    #expect(
      Self.violations { $0.attachments = [.init(filename: "a", contentID: text)] } == ["attachments[0].content_id"])
  }

  @Test(
    "Headers that name recipients, the sender or the structure cannot be set",
    arguments: [
      "Bcc", "to", "From", "Sender", "Subject", "Date", "Message-ID", "Content-Type", "MIME-Version", "DKIM-Signature",
      "X-", "", "X A", "X:A", "Réf",
    ])
  func forbiddenHeaders(name: String) {
    #expect(Self.violations { $0.headers = [.init(name: name, value: "x")] }.count == 1)
  }

  @Test("Regression: in ids that some parsers decode, what looks like an encoded-word is refused")
  func encodedIDs() {
    let word = "=?utf-8?q?=0D=0ABcc:x?="
    for name in ["References", "In-Reply-To"] {
      #expect(Self.violations { $0.headers = [.init(name: name, value: "<\(word)@b>")] } == ["headers.\(name)"])
    }
    #expect(
      Self.violations { $0.attachments = [.init(filename: "a", contentID: "=?utf-8?q?x?=")] }
        == ["attachments[0].content_id"])
  }

  private func letters(_ count: Int) -> String { String(repeating: "a", count: count) }

  @Test("A header's value has 1 to 8192 bytes, and a thread's id 1 to 64")
  func lengths() {
    #expect(Self.violations { $0.headers = [.init(name: "X-A", value: letters(8192))] }.isEmpty)
    #expect(Self.violations { $0.headers = [.init(name: "X-A", value: letters(8193))] } == ["headers.X-A"])
    #expect(Self.violations { $0.headers = [.init(name: "X-A", value: " ")] } == ["headers.X-A"])
    #expect(Self.violations { $0.threadID = letters(64) }.isEmpty)
    for id in [letters(65), ""] { #expect(Self.violations { $0.threadID = id } == ["thread_id"]) }
  }

  @Test("Thread and list headers are held to their own grammar")
  func structuredHeaders() {
    #expect(Self.violations { $0.headers = [.init(name: "References", value: "<a@b> <c@d>")] }.isEmpty)
    #expect(Self.violations { $0.headers = [.init(name: "In-Reply-To", value: "a@b")] } == ["headers.In-Reply-To"])
    #expect(Self.violations { $0.headers = [.init(name: "List-Unsubscribe", value: "<https://x.example/u>")] }.isEmpty)
    #expect(Self.violations { $0.headers = [.init(name: "List-Id", value: "é")] } == ["headers.List-Id"])
    // A word cannot be folded, and an encoded-word has no place there.
    #expect(Self.violations { $0.headers = [.init(name: "List-Id", value: letters(900))] }.isEmpty)
    for value in [letters(901), "=?utf-8?q?x?="] {
      #expect(Self.violations { $0.headers = [.init(name: "List-Id", value: value)] } == ["headers.List-Id"])
    }
    let twice = MessageDraft.Pair(name: "List-Id", value: "x")
    #expect(Self.violations { $0.headers = [twice, twice] } == ["headers"])
  }

  @Test("A time to send is between a minute ago, which means now, and a year ahead")
  func sendAt() throws {
    let past = try OutgoingMessage(Self.draft { $0.sendAt = Self.now - .seconds(60) }, now: Self.now)
    #expect(past.sendAt == nil)
    #expect(Self.violations { $0.sendAt = Self.now - .seconds(61) } == ["send_at"])
    let later = try OutgoingMessage(Self.draft { $0.sendAt = Self.now + .seconds(365 * 86_400) }, now: Self.now)
    #expect(later.sendAt == Self.now + .seconds(365 * 86_400))
    #expect(Self.violations { $0.sendAt = Self.now + .seconds(365 * 86_400 + 1) } == ["send_at"])
  }

  @Test("Metadata has at most 16 pairs of bounded size")
  func metadata() {
    let pairs = (0..<17).map { MessageDraft.Pair(name: "k\($0)", value: "v") }
    #expect(Self.violations { $0.metadata = Array(pairs.prefix(16)) }.isEmpty)
    #expect(Self.violations { $0.metadata = pairs } == ["metadata"])
    #expect(Self.violations { $0.metadata = [.init(name: "", value: "")] } == ["metadata"])
    #expect(Self.violations { $0.metadata = [.init(name: "k", value: "\u{0}")] } == ["metadata"])
    #expect(
      Self.violations { $0.metadata = [.init(name: "k", value: String(repeating: "v", count: 1025))] } == ["metadata"])
  }

  @Test("The size of the content is that of both bodies and of every attachment")
  func contentSize() throws {
    let message = try OutgoingMessage(
      Self.draft {
        $0.text = "Grüße"
        $0.html = "<p>Hi"
        $0.attachments = [.init(filename: "a", content: [1, 2]), .init(filename: "b", content: [3])]
      }, now: Self.now)
    #expect(message.contentSize == 7 + 5 + 3)
    #expect(try OutgoingMessage(Self.draft { ($0.text, $0.html) = (nil, "Hi") }, now: Self.now).contentSize == 2)
  }

  @Test("An attachment is inline when it has a content id, unless it says otherwise")
  func disposition() throws {
    let message = try OutgoingMessage(
      Self.draft {
        $0.attachments = [
          .init(filename: "a.png", contentType: "image/png", contentID: "<logo@x>"),
          .init(filename: "b.pdf", contentType: "Application/PDF; name=\"b \\\"x\\\".pdf\""),
          .init(filename: "c", contentID: "c", disposition: "attachment"),
        ]
      }, now: Self.now)
    #expect(message.attachments.map(\.disposition) == [.inline, .attachment, .attachment])
    #expect(message.attachments[0].contentID == "logo@x")
    #expect(message.attachments[1].mediaType.subtype == "pdf")
    #expect(message.attachments[1].mediaType.parameters == [.init(name: "name", value: "b \"x\".pdf")])
    #expect(message.attachments[2].mediaType == .octetStream)
    #expect(Self.violations { $0.attachments = [.init()] } == ["attachments[0].filename"])
    #expect(
      Self.violations { $0.attachments = [.init(filename: "m.eml", contentType: "message/rfc822")] }
        == ["attachments[0].content_type"])
    #expect(
      Self.violations {
        $0.attachments = [.init(filename: "a", contentID: "logo"), .init(filename: "b", contentID: "<logo>")]
      } == ["attachments[1].content_id"])
  }
}
