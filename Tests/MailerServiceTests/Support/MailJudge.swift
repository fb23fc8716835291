import Foundation
import Testing

/// A parser of mails that knows nothing of how we write them, as a program of its own.
struct MailJudge: Sendable, CustomTestStringConvertible {
  let testDescription: String
  private let program: [String]
  /// mail-parser flattens: it tells neither the nesting of the parts nor which are inline, nor an empty body, and decodes
  /// a file name a second time.
  var flattens = false

  static let all = [
    MailJudge(testDescription: "Python's email", program: ["python", "Tests/Python/mail_judge.py", "email"]),
    MailJudge(
      testDescription: "mail-parser", program: ["python", "Tests/Python/mail_judge.py", "mail-parser"], flattens: true),
    MailJudge(testDescription: "Perl's Email::MIME", program: ["/usr/bin/perl", "Tests/Perl/mail_judge.pl"]),
  ]

  /// One process for all: each mail with its length in four bytes before it.
  func read<Reading: Decodable>(_ mails: [[UInt8]], _ mode: String...) throws -> [Reading] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("mails-\(UInt64.random(in: 0 ... .max))")
    var data = Data()
    for mail in mails {
      withUnsafeBytes(of: UInt32(mail.count).bigEndian) { data.append(contentsOf: $0) }
      data.append(contentsOf: mail)
    }
    try data.write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = URL(
      fileURLWithPath: program[0] == "python" ? try #require(PythonJudge.interpreter) : program[0])
    process.arguments = [root.appending(path: program[1]).path] + program.dropFirst(2) + [file.path] + mode
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let answer = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return try answer.split(separator: UInt8(ascii: "\n")).map { try JSONDecoder().decode(Reading.self, from: $0) }
  }
}
