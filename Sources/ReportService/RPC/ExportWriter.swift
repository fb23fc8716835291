import CivilTime
import StrictJSON

/// Writes rows as lines of text, and hands over pieces of whole lines.
struct ExportWriter {
  enum Form: Sendable {
    /// RFC 4180: a header line, lines that end with CR LF.
    case csv
    /// One JSON object a line, each line ended by LF.
    case ndjson
  }

  /// A piece is handed over once it has this many bytes.
  static let pieceSize = 48 * 1024

  static let columns = [
    "id", "message_id", "thread_id", "status", "error_code", "from_email", "to", "subject", "created_at", "sent_at",
    "attempts",
  ]

  private let form: Form
  private var buffer: [UInt8] = []

  init(_ form: Form) {
    self.form = form
    if form == .csv { line(Self.columns) }
  }

  mutating func write(_ row: ExportRow) {
    switch form {
    case .csv:
      line([
        row.id, row.messageID ?? "", row.threadID ?? "", row.status, row.errorCode ?? "", row.fromEmail,
        row.to.joined(separator: "; "), row.subject, row.createdAt.description, row.sentAt?.description ?? "",
        String(row.attempts),
      ])
    case .ndjson:
      var json = JSONWriter(capacity: 512)
      json.object { json in
        json.member("id", row.id)
        json.member("message_id", row.messageID)
        json.member("thread_id", row.threadID)
        json.member("status", row.status)
        json.member("error_code", row.errorCode)
        json.member("from_email", row.fromEmail)
        json.member("to") { json in json.array { json in for address in row.to { json.value(address) } } }
        json.member("subject", row.subject)
        json.member("created_at", row.createdAt.description)
        json.member("sent_at", row.sentAt?.description)
        json.member("attempts", row.attempts)
      }
      buffer += json.finish()
      buffer.append(0x0a)
    }
  }

  /// The next piece, once there is enough for one.
  mutating func nextPiece() -> [UInt8]? { buffer.count >= Self.pieceSize ? rest() : nil }

  /// What is left.
  mutating func rest() -> [UInt8] {
    defer { buffer = [] }
    return buffer
  }

  private mutating func line(_ cells: [String]) {
    for (index, cell) in cells.enumerated() {
      if index > 0 { buffer.append(UInt8(ascii: ",")) }
      CSVCell.write(cell, to: &buffer)
    }
    buffer += [0x0d, 0x0a]
  }
}

/// A cell of a CSV file.
enum CSVCell {
  /// Writes the text so that a parser of RFC 4180 reads it back, and a spreadsheet shows it: a cell that it would take for
  /// a formula gets an apostrophe in front (OWASP, "CSV Injection").
  static func write(_ text: String, to buffer: inout [UInt8]) {
    let isFormula = text.unicodeScalars.first.map(startsFormula) ?? false
    let needsQuotes = text.utf8.contains { $0 == 0x22 || $0 == 0x2c || $0 == 0x0d || $0 == 0x0a || $0 == 0x3b }
    guard isFormula || needsQuotes else {
      buffer += text.utf8
      return
    }
    buffer.append(0x22)
    if isFormula { buffer.append(UInt8(ascii: "'")) }
    for byte in text.utf8 {
      if byte == 0x22 { buffer.append(0x22) }
      buffer.append(byte)
    }
    buffer.append(0x22)
  }

  private static func startsFormula(_ first: Unicode.Scalar) -> Bool {
    switch first {
    case "=", "+", "-", "@", "\t", "\r", "\n": true
    case "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}": true  // their full-width forms, which some programs also run
    default: false
    }
  }
}
