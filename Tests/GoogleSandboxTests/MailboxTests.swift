import CivilTime
import Testing

@testable import GoogleSandbox

struct MailboxTests {
  private func message(_ id: String, thread: String, bytes: Int = 10) -> StoredMessage {
    StoredMessage(
      id: id, threadID: thread, account: "ada@example.com", from: "ada@example.com", to: ["grace@example.com"], cc: [],
      bcc: [],
      subject: id, messageID: nil, received: Timestamp(seconds: 0), raw: [UInt8](repeating: 0x61, count: bytes))
  }

  @Test("Mails past the bound are forgotten oldest first, with threads that have none left; the ledger keeps every one")
  func bounds() {
    var mailbox = Mailbox(seed: 1)
    mailbox.accept(message("a", thread: "one"))
    mailbox.accept(message("b", thread: "two"))
    for index in 0..<(Mailbox.maxMessages - 2) { mailbox.accept(message("m\(index)", thread: "two")) }
    #expect(mailbox.message("a") != nil)
    mailbox.accept(message("z", thread: "three"))
    #expect(mailbox.message("a") == nil)
    #expect(!mailbox.hasThread("one", of: "ada@example.com"))
    mailbox.accept(message("y", thread: "three"))
    #expect(mailbox.message("b") == nil)
    #expect(mailbox.hasThread("two", of: "ada@example.com"))
    #expect(mailbox.acceptedCount == Mailbox.maxMessages + 2)
    #expect(mailbox.latest(2).map(\.id) == ["y", "z"])
  }

  @Test("A local part may be quoted; a name that is quoted, with a comma or an address in it, is no address")
  func quotedAddresses() {
    #expect(
      MailAddressList.addresses(#""x y"@example.com, "Last, F. <a@b>" <"Q, \"z"@example.com>, (c@d) e@f, "N" <g@h>"#)
        == [#""x y"@example.com"#, #""q, \"z"@example.com"#, "e@f", "g@h"])
  }

  @Test("Ids rise, and go on after a mail of an earlier run")
  func ids() {
    var mailbox = Mailbox(seed: 5 << 40)
    let first = mailbox.nextID()
    #expect(first.utf8.count == 16)
    #expect(mailbox.nextID() > first)
    mailbox.accept(message("1900ffffffff0000", thread: "1900ffffffff0000"))
    #expect(mailbox.nextID() == "1900ffffffff0001")
  }
}
