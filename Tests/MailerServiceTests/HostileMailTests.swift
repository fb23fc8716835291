import Foundation
import Testing

@testable import MailerService

/// Random mail with hostile pieces in every field that reaches a header, read by Python's `email`: what is not refused
/// must come back as it was given, and nothing else may stand in the mail. `TEST_MIME_MAILS=100000 script/test --filter
/// HostileMailTests` tries the full count; `TEST_SEED` asks for other mail.
@Suite("Hostile mail, read by Python's email package", .enabled(if: PythonJudge.interpreter != nil))
struct HostileMailTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let count = environment["TEST_MIME_MAILS"].flatMap { Int($0) } ?? 500
  private static let seed = environment["TEST_SEED"].flatMap { UInt64($0) } ?? 1

  private static let plain = [
    "Hello", "Grüße", "日本語", "👩‍👩‍👧‍👦", "a, b; c", "\"quoted\"", "back\\slash", "(comment)", "<x@y.example>", "=?utf-8?q?x?=",
    "=?utf-8?q?=0D=0ABcc:_evil@x.example?=", "Bcc: evil@x.example", "é\u{301}", "name*=utf-8''x", "; filename=\"evil\"",
    "a  b",
    "?=", "%0d%0aBcc:", "--=_boundary", String(repeating: "x", count: 90), "'", "*", "@", ":", "ü,ö;ä", "=",
  ]
  private static let hostile = [
    "\r\nBcc: evil@x.example", "\nX-Injected: 1", "\r\n\r\n<script>", "\rX-Injected: 1", "\0", "\u{7F}",
    "\u{85}X-Injected: 1",
    "\u{2028}X-Injected: 1", "\u{2029}", "\u{B}X-Injected: 1", "\u{C}", "\t", "\u{1B}[2J",
  ]

  private struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }

    /// Some pieces; with `hostility` one of them may be a hostile one.
    mutating func text(_ hostility: Bool) -> String {
      var pieces = (0..<Int.random(in: 1...4, using: &self)).map { _ in plain.randomElement(using: &self)! }
      if hostility, Bool.random(using: &self) {
        pieces.insert(hostile.randomElement(using: &self)!, at: Int.random(in: 0...pieces.count, using: &self))
      }
      return pieces.joined(separator: Bool.random(using: &self) ? " " : "")
    }
  }

  private struct Reading: Decodable {
    var names: [String]
    var subject: String
    var custom: String
    var filenames: [String]
    var recipients: [String]
    var defects: [String]
  }

  private static func draft(_ random: inout Random) -> MessageDraft {
    let hostility = Bool.random(using: &random)
    var draft = MessageDraft()
    draft.to = [.init(email: "to@b.example", name: random.text(hostility))]
    draft.cc = [.init(email: hostility ? "cc@b.example" + hostile.randomElement(using: &random)! : "cc@b.example")]
    if hostility, Bool.random(using: &random) { draft.cc = [] }
    draft.subject = random.text(hostility)
    draft.fromName = random.text(hostility)
    draft.text = random.text(true)
    draft.headers = [.init(name: "X-Custom", value: random.text(hostility))]
    draft.attachments = [
      .init(
        filename: random.text(hostility), contentType: hostility ? "text/plain;\r\n x=y" : "text/plain", content: [1])
    ]
    if hostility, Bool.random(using: &random) { draft.attachments[0].contentType = "" }
    return draft
  }

  @Test("What is not refused comes back as it was given, with nothing added")
  func corpus() throws {
    var random = Random(state: Self.seed)
    var built: [(message: OutgoingMessage, bytes: [UInt8])] = []
    for _ in 0..<Self.count {
      let draft = Self.draft(&random)
      guard let message = try? OutgoingMessage(draft, now: OutgoingMessageTests.now) else { continue }
      let from = try MailAddress("ann@example.com").named(message.fromName)
      let builder = MIMEBuilder(
        from: from, messageID: MIMEBuilderTests.id, date: OutgoingMessageTests.now, randomness: (random.next(), 2))
      built.append((message, builder.build(message)))
    }
    #expect(built.count > Self.count / 3 && built.count < Self.count)
    let readings = try Self.read(built.map(\.bytes))
    #expect(readings.count == built.count)
    var faults = 0
    for ((message, bytes), reading) in zip(built, readings) {
      let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
      let expected =
        ["From", "To"] + (message.cc.isEmpty ? [] : ["Cc"])
        + ["Subject", "Date", "Message-ID", "X-Custom", "MIME-Version", "Content-Type"]
      let isFaithful =
        reading.names == expected && reading.subject == message.subject && reading.custom == message.headers[0].value
        && reading.filenames == message.attachments.map(\.filename) && reading.defects.isEmpty
        && reading.recipients == ["to@b.example"] + message.cc.map(\.specification)
        && lines.allSatisfy { $0.utf8.count <= 998 && !$0.utf8.contains(0x0A) && !$0.utf8.contains(0x0D) }
      guard !isFaithful else { continue }
      faults += 1
      if faults <= 5 { Issue.record("\(reading)\n\(String(decoding: bytes, as: UTF8.self))") }
    }
    #expect(faults == 0)
  }

  /// One process for all: each mail with its length in four bytes before it. The file name is read as a parameter, since
  /// `get_filename` takes quotes off a second time.
  private static func read(_ mails: [[UInt8]]) throws -> [Reading] {
    let script = """
      import email, json, sys
      from email import policy
      data = open(sys.argv[1], "rb").read()
      at = 0
      while at < len(data):
          size = int.from_bytes(data[at:at + 4], "big")
          msg = email.message_from_bytes(data[at + 4:at + 4 + size], policy=policy.default)
          at += 4 + size
          parts = list(msg.iter_parts())
          defects = [type(d).__name__ for p in [msg, *parts] for d in p.defects]
          print(json.dumps(dict(
              names=msg.keys(), subject=str(msg["Subject"]), custom=str(msg["X-Custom"]), defects=defects,
              filenames=[p["Content-Disposition"].params.get("filename") for p in parts[1:]],
              recipients=[a.addr_spec for n in ("To", "Cc") if msg[n] is not None for a in msg[n].addresses])))
      """
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("mails-\(UInt64.random(in: 0 ... .max))")
    var data = Data()
    for mail in mails {
      withUnsafeBytes(of: UInt32(mail.count).bigEndian) { data.append(contentsOf: $0) }
      data.append(contentsOf: mail)
    }
    try data.write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(PythonJudge.interpreter))
    process.arguments = ["-c", script, file.path]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let answer = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    return try answer.split(separator: UInt8(ascii: "\n")).map { try JSONDecoder().decode(Reading.self, from: $0) }
  }
}
