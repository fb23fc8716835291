import CivilTime
import HugePages
import MailSyntax

/// Builds the message that Gmail is given: RFC 5322 headers and RFC 2045/2046 parts.
///
/// The nesting is what every mail program understands: `mixed` holds the attachments, in it `alternative` holds plain
/// text and HTML, in it `related` holds the HTML with the images that it shows. Levels with one member are left out.
struct MIMEBuilder {
  /// Who it is from: the connected account's own address.
  var from: MailAddress
  var messageID: UniqueID
  var date: Timestamp
  /// Makes the part boundaries unguessable, so that no content can hold one.
  var randomness: (UInt64, UInt64)

  /// The whole mail. The order of the header is fixed; all recipients stand in it, since Gmail reads them from there and
  /// takes `Bcc` out again.
  func build(_ message: OutgoingMessage) -> [UInt8] {
    let root = Self.part(for: message)
    var output: [UInt8] = []
    output.reserveCapacity(1024 + message.recipientCount * 64 + root.estimatedSize)
    output.adviseHugePages()
    output.append(contentsOf: header(message))
    var boundaries = BoundarySequence(randomness)
    root.append(to: &output, boundaries: &boundaries)
    return output
  }

  private func header(_ message: OutgoingMessage) -> [UInt8] {
    var writer = HeaderWriter()
    writer.field("From", addresses: [from])
    writer.field("To", addresses: message.to)
    writer.field("Cc", addresses: message.cc)
    writer.field("Bcc", addresses: message.bcc)
    writer.field("Reply-To", addresses: message.replyTo)
    writer.field("Subject", text: message.subject)
    writer.field("Date", words: [date.mailDate])
    writer.field("Message-ID", words: ["<\(messageID)@\(from.domain)>"])
    for extra in message.headers {
      switch extra.form {
      case .text: writer.field(extra.name, text: extra.value)
      case .messageIDs, .structured:
        writer.field(extra.name, words: extra.value.split(separator: " ").map(String.init))
      }
    }
    writer.field("MIME-Version", words: ["1.0"])
    return writer.bytes
  }

  // MARK: Structure

  private static func part(for message: OutgoingMessage) -> MIMEPart {
    // What the HTML cannot name is none of its images: mail programs do not show such a part of `related` at all.
    func isShown(_ file: OutgoingMessage.Attachment) -> Bool {
      message.html != nil && file.disposition == .inline && file.contentID != nil
    }
    let inline = message.attachments.filter(isShown)
    let attached = message.attachments.filter { !isShown($0) }
    var alternatives: [MIMEPart] = []
    if let text = message.text { alternatives.append(.text(subtype: "plain", BodyText(text))) }
    if let html = message.html {
      let body = MIMEPart.text(subtype: "html", BodyText(html))
      alternatives.append(inline.isEmpty ? body : .multipart(.related, [body] + inline.map(MIMEPart.file)))
    }
    let content = alternatives.count == 1 ? alternatives[0] : .multipart(.alternative, alternatives)
    return attached.isEmpty ? content : .multipart(.mixed, [content] + attached.map(MIMEPart.file))
  }
}

/// The boundaries of one message, all different (RFC 2046 §5.1.1).
struct BoundarySequence {
  private let stem: String
  private var count = 0

  init(_ randomness: (UInt64, UInt64)) {
    var digits: [UInt8] = []
    for word in [randomness.0, randomness.1] {
      for shift in stride(from: 60, through: 0, by: -4) {
        digits.append(HexDigits.digit(UInt8(word >> UInt64(shift) & 15)))
      }
    }
    stem = String(decoding: digits, as: UTF8.self)
  }

  /// `=_` stands in neither quoted-printable nor base64.
  mutating func next() -> String {
    count += 1
    return "=_\(stem)_\(count)"
  }
}
