import Foundation
import Testing
import WireCodec

/// The official protobuf runtime, in a Python of its own, asks about messages and judges the answers.
struct WireJudge {
  static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The Python that `script/python` makes.
  static func interpreter() throws -> URL {
    let environment = ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
    let candidates = [environment, repository.appending(path: ".build/venv/bin/python").path].compactMap { $0 }
    let path = try #require(candidates.first(where: FileManager.default.isExecutableFile), "run script/python first")
    return URL(fileURLWithPath: path)
  }

  private struct Hello: Encodable {
    var messages: [String]
    var methods: [String]
    var inventory: Bool
  }

  private struct Line: Decodable {
    var message: String?
    var wire: String?
    var faults: [String]?
  }

  private struct Answer: Encodable {
    var read: MessageDump?
    var written: String?
    var refused: String?
  }

  /// What the judge finds wrong.
  ///
  /// - Parameters:
  ///   - inventory: whether the lists must be all that the schemas have.
  ///   - count: random messages a type.
  static func faults(
    messages: [any WireMessage.Type], methods: [String], inventory: Bool, count: Int, seed: UInt32
  ) throws -> [String] {
    let process = Process()
    process.executableURL = try interpreter()
    process.arguments = [
      repository.appending(path: "Tests/Python/wire_judge.py").path, repository.appending(path: "Proto").path,
      "\(seed)", "\(count)",
    ]
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    try process.run()
    defer { process.waitUntilExit() }
    var lines = LineReader(handle: output.fileHandleForReading)
    func send(_ value: some Encodable) throws {
      try input.fileHandleForWriting.write(contentsOf: JSONEncoder().encode(value) + [0x0a])
    }
    let types = Dictionary(uniqueKeysWithValues: messages.map { ($0.wireName, $0) })
    try send(Hello(messages: messages.map { $0.wireName }, methods: methods, inventory: inventory))
    while let data = lines.next() {
      let line = try JSONDecoder().decode(Line.self, from: data)
      if let faults = line.faults { return faults }
      guard let name = line.message, let type = types[name], let wire = line.wire else { break }
      try send(answer(type, bytes(hex: wire)))
    }
    Issue.record("the judge ended without a verdict")
    return []
  }

  private static func answer(_ type: any WireMessage.Type, _ wire: [UInt8]) -> Answer {
    do {
      let message = try type.init(wire: wire)
      return Answer(read: MessageDump(message), written: hex(message.wireBytes()))
    } catch {
      return Answer(refused: "\(error)")
    }
  }

  private struct LineReader {
    let handle: FileHandle
    var buffer = Data()

    mutating func next() -> Data? {
      while true {
        if let end = buffer.firstIndex(of: 0x0a) {
          defer { buffer = Data(buffer[(end + 1)...]) }
          return buffer[..<end]
        }
        let more = handle.availableData
        guard !more.isEmpty else { return nil }
        buffer += more
      }
    }
  }
}
