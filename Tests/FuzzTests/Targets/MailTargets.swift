import CivilTime
import MailSyntax
@testable import MailerService

extension FuzzTarget {
  /// Addresses, domains, media types, extra fields: what is accepted is safe in a header and is read the same again.
  static let mailAddress = FuzzTarget(name: "mail-address") { bytes in
    let text = String(decoding: bytes, as: UTF8.self)
    if let address = try? MailAddress(text) {
      let bare = try MailAddress(address.specification)
      try require(bare.specification == address.specification, "\(bare) is not \(address)")
      try require(HeaderText.isPrintableASCII(address.specification), "\(address) is not ASCII")
      try require(HeaderText.isSafe(address.displayName ?? ""), "a control character in a name")
      let named = try MailAddress(address.specification, name: address.displayName)
      try require(named == address, "\(named) is not \(address)")
      try checkHeader(of: { $0.field("To", addresses: [address, address]) }, names: ["To"])
    }
    if let domain = try? MailDomain(text) {
      try require(try MailDomain(domain.ascii) == domain, "\(domain.ascii) is read differently again")
    }
    if let entry = try? SuppressionEntry(text) {
      try require(try SuppressionEntry(entry.text) == entry, "\(entry.text) is read differently again")
    }
    if let type = MediaType(text) {
      try checkHeader(of: { $0.field("Content-Type", words: type.words) }, names: ["Content-Type"])
      let written = type.words.joined(separator: " ")
      if !written.contains("*") {
        try require(MediaType(written) == type, "\(written) is read differently again")
      }
    }
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    if parts.count == 2, let extra = try? ExtraHeader(name: parts[0], value: parts[1]) {
      try require(HeaderText.isSafe(extra.value), "a control character in a field")
      let again = try ExtraHeader(name: extra.name, value: extra.value)
      try require(again == extra, "\(extra) is read differently again")
    }
  }

  /// A whole mail, its fields parted by 0xFF: what is accepted has the header that was asked for and no other, on lines
  /// that every server takes.
  static let mailMessage = FuzzTarget(name: "mail-message") { bytes in
    let texts = FuzzInput(bytes).texts()
    func text(_ index: Int) -> String? { index < texts.count && !texts[index].isEmpty ? texts[index] : nil }
    var draft = MessageDraft()
    draft.to = [.init(email: text(0) ?? "to@b.example", name: text(1))]
    draft.subject = text(2) ?? ""
    draft.fromName = text(3)
    draft.text = text(4) ?? ""
    draft.html = text(5)
    if let filename = text(6) {
      draft.attachments = [
        .init(
          filename: filename, contentType: text(7) ?? "", content: Array((text(8) ?? "").utf8), contentID: text(9))
      ]
    }
    if let name = text(10) { draft.headers = [.init(name: name, value: text(11) ?? "")] }
    draft.bcc = text(12).map { [.init(email: $0)] } ?? []
    draft.threadID = text(13)
    guard let message = try? OutgoingMessage(draft, now: now) else { return }
    let builder = MIMEBuilder(
      from: try MailAddress("ann@example.com").named(message.fromName), messageID: UniqueID(at: now, random: (1, 2)),
      date: now, randomness: (3, 4))
    let mail = builder.build(message)
    try require(mail.allSatisfy { $0 < 0x80 && $0 != 0 }, "a mail is not ASCII")
    let lines = try lines(mail)
    let header = lines.prefix { !$0.isEmpty }
    let names = header.compactMap { line in line.first == " " ? nil : String(line.prefix { $0 != ":" }) }
    var expected = ["From", "To"] + (message.bcc.isEmpty ? [] : ["Bcc"]) + ["Subject", "Date", "Message-ID"]
    expected += message.headers.map(\.name) + ["MIME-Version", "Content-Type"]
    if !names.dropFirst(expected.count).isEmpty { expected.append("Content-Transfer-Encoding") }
    try require(names == expected, "the header has \(names), not \(expected)")
  }

  private static let now = Timestamp(seconds: 1_795_343_940)

  private static func checkHeader(of write: (inout HeaderWriter) -> Void, names: [String]) throws {
    var writer = HeaderWriter()
    write(&writer)
    let header = try lines(writer.bytes).dropLast()
    let found = header.compactMap { line in line.first == " " ? nil : String(line.prefix { $0 != ":" }) }
    try require(found == names, "the header has \(found), not \(names)")
  }

  /// Lines without their CRLF, none of which is too long or has half a line break.
  private static func lines(_ bytes: [UInt8]) throws -> [Substring] {
    var lines: [Substring] = []
    for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let isLast = line.endIndex == bytes.count
      try require(isLast ? line.isEmpty || line.last != 13 : line.last == 13, "half a line break")
      let content = isLast ? line : line.dropLast()
      try require(!content.contains(13), "half a line break")
      try require(content.count <= HeaderWriter.maximumLine, "a line of \(content.count) bytes")
      lines.append(Substring(decoding: content, as: UTF8.self))
    }
    return lines
  }
}
