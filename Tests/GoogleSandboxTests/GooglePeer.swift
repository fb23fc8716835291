import Foundation
import StrictJSON

/// `google-api-python-client` with its bundled gmail.v1 discovery document, and google-auth, as foreign judges.
enum GooglePeer {
  static let interpreter: String? = {
    let environment = ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
    return [environment, ".build/venv/bin/python"].compactMap { $0 }.first(where: FileManager.default.isExecutableFile)
  }()

  static var isMissing: Bool { interpreter == nil }

  static func run(_ arguments: [String]) throws -> JSONValue {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: interpreter!)
    process.arguments = ["Tests/Python/google_peer.py"] + arguments
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
    return try JSONValue(parsing: Array(bytes))
  }
}
