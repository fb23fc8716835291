/// One part of a message and how it is written.
indirect enum MIMEPart {
  enum Multipart: String { case mixed, alternative, related }

  case text(subtype: String, BodyText)
  case file(OutgoingMessage.Attachment)
  case multipart(Multipart, [MIMEPart])

  /// About what it takes on the wire, in bytes, to reserve it once.
  var estimatedSize: Int {
    switch self {
    case .text(_, let body): 160 + (body.encoding == .sevenBit ? body.canonical.count : body.canonical.count * 3 / 2)
    case .file(let attachment): 512 + MailBase64.linesSize(attachment.content.count)
    case .multipart(_, let parts): parts.reduce(256) { $0 + 64 + $1.estimatedSize }
    }
  }

  func append(to output: inout [UInt8], boundaries: inout BoundarySequence) {
    var header = HeaderWriter(capacity: 256)
    switch self {
    case .text(let subtype, let body):
      header.field("Content-Type", words: ["text/\(subtype);", "charset=utf-8"])
      header.field("Content-Transfer-Encoding", words: [body.encoding.rawValue])
      output.append(contentsOf: header.bytes)
      output.append(contentsOf: "\r\n".utf8)
      body.append(to: &output)
    case .file(let attachment):
      Self.describe(attachment, in: &header)
      output.append(contentsOf: header.bytes)
      output.append(contentsOf: "\r\n".utf8)
      MailBase64.appendLines(attachment.content, to: &output)
    case .multipart(let kind, let parts):
      let boundary = boundaries.next()
      var words = ["multipart/\(kind.rawValue)"]
      // RFC 2387 §3.1: the type of the part that shows the others.
      if kind == .related { words.append("type=\"text/html\"") }
      words.append("boundary=\"\(boundary)\"")
      header.field("Content-Type", words: ParameterText.separated(words))
      output.append(contentsOf: header.bytes)
      for part in parts {
        output.append(contentsOf: "\r\n--\(boundary)\r\n".utf8)
        part.append(to: &output, boundaries: &boundaries)
      }
      output.append(contentsOf: "\r\n--\(boundary)--\r\n".utf8)
    }
  }

  private static func describe(_ attachment: OutgoingMessage.Attachment, in header: inout HeaderWriter) {
    header.field("Content-Type", words: attachment.mediaType.words)
    header.field("Content-Transfer-Encoding", words: ["base64"])
    var words = [attachment.disposition.rawValue]
    if !attachment.filename.isEmpty { words += ParameterText.words("filename", attachment.filename) }
    header.field("Content-Disposition", words: ParameterText.separated(words))
    if let identifier = attachment.contentID { header.field("Content-ID", words: ["<\(identifier)>"]) }
  }
}
