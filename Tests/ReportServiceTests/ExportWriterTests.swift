import CivilTime
import Testing

@testable import ReportService

private func row(_ change: (inout ExportRow) -> Void = { _ in }) -> ExportRow {
  var row = ExportRow(
    id: "0193514e-7a3b-7c01-8000-0123456789ab", messageID: "18c", threadID: nil, status: "success", errorCode: nil,
    fromEmail: "me@example.com", to: ["a@example.com", "b@example.com"], subject: "Hello",
    createdAt: Timestamp(rfc3339: "2026-11-22T10:39:00.123456Z")!, sentAt: nil, attempts: 1)
  change(&row)
  return row
}

private func text(_ form: ExportWriter.Form, _ rows: [ExportRow]) -> String {
  var writer = ExportWriter(form)
  for row in rows { writer.write(row) }
  return String(decoding: writer.rest(), as: UTF8.self)
}

@Test("an export without rows is the header line as CSV and nothing as NDJSON")
func emptyExport() {
  #expect(
    text(.csv, []) == "id,message_id,thread_id,status,error_code,from_email,to,subject,created_at,sent_at,attempts\r\n")
  #expect(text(.ndjson, []) == "")
}

@Test("a row of CSV")
func csvRow() {
  let line = text(.csv, [row()]).split(separator: "\r\n").last
  #expect(
    line
      == "0193514e-7a3b-7c01-8000-0123456789ab,18c,,success,,me@example.com,\"a@example.com; b@example.com\",Hello,2026-11-22T10:39:00.123Z,,1"
  )
}

@Test("every column of a row has its own place, in either form")
func wholeRow() {
  let whole = row {
    $0.threadID = "t"
    $0.status = "failed"
    $0.errorCode = "gmail_rejected"
    $0.to = ["a@example.com"]
    $0.sentAt = Timestamp(rfc3339: "2026-11-22T10:40:00Z")
    $0.attempts = 3
  }
  #expect(
    text(.csv, [whole]).split(separator: "\r\n").last
      == "0193514e-7a3b-7c01-8000-0123456789ab,18c,t,failed,gmail_rejected,me@example.com,a@example.com,Hello,2026-11-22T10:39:00.123Z,2026-11-22T10:40:00.000Z,3"
  )
  #expect(
    text(.ndjson, [whole]).hasSuffix(
      #""thread_id":"t","status":"failed","error_code":"gmail_rejected","from_email":"me@example.com","to":["a@example.com"],"subject":"Hello","created_at":"2026-11-22T10:39:00.123Z","sent_at":"2026-11-22T10:40:00.000Z","attempts":3}"#
        + "\n"))
}

@Test("a piece is handed over at its size and not a byte before it, and once")
func pieceSize() {
  var writer = ExportWriter(.ndjson)
  writer.write(row { $0.subject = "" })
  let empty = writer.rest().count
  for (missing, isThere) in [(1, false), (0, true)] {
    writer.write(row { $0.subject = String(repeating: "x", count: ExportWriter.pieceSize - empty - missing) })
    #expect((writer.nextPiece()?.count == ExportWriter.pieceSize) == isThere)
    #expect(writer.rest().isEmpty == isThere)
  }
}

@Test("a row of NDJSON")
func ndjsonRow() {
  #expect(
    text(.ndjson, [row { $0.subject = "a \"b\"\n" }])
      == #"{"id":"0193514e-7a3b-7c01-8000-0123456789ab","message_id":"18c","thread_id":null,"status":"success","error_code":null,"from_email":"me@example.com","to":["a@example.com","b@example.com"],"subject":"a \"b\"\n","created_at":"2026-11-22T10:39:00.123Z","sent_at":null,"attempts":1}"#
      + "\n")
}

@Test(
  "cells are quoted where RFC 4180 asks, and disarmed where a spreadsheet would run them",
  arguments: [
    ("plain", "plain"), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""), ("a\r\nb", "\"a\r\nb\""),
    ("a;b", "\"a;b\""), ("=1+1", "\"'=1+1\""), ("+49", "\"'+49\""), ("-1", "\"'-1\""), ("@SUM(A1)", "\"'@SUM(A1)\""),
    ("\t=1", "\"'\t=1\""), ("\r=1", "\"'\r=1\""), ("＝1", "\"'＝1\""), ("=\"x\",1", "\"'=\"\"x\"\",1\""), ("1=1", "1=1"),
    ("\n=1", "\"'\n=1\""), ("＋1", "\"'＋1\""), ("－1", "\"'－1\""), ("＠1", "\"'＠1\""), ("a\rb", "\"a\rb\""),
    ("a\nb", "\"a\nb\""),
    ("", ""),
  ])
func cells(_ value: String, _ expected: String) {
  var buffer: [UInt8] = []
  CSVCell.write(value, to: &buffer)
  #expect(String(decoding: buffer, as: UTF8.self) == expected)
}

@Test("pieces are handed over in whole lines once they are large enough")
func pieces() {
  var writer = ExportWriter(.ndjson)
  var pieces: [[UInt8]] = []
  for _ in 0..<1000 {
    writer.write(row())
    if let piece = writer.nextPiece() { pieces.append(piece) }
  }
  pieces.append(writer.rest())
  #expect(pieces.count > 3)
  #expect(pieces.allSatisfy { $0.last == 0x0a && $0.count < ExportWriter.pieceSize + 1000 })
}
