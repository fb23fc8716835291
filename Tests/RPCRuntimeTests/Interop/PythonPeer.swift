import Foundation
import Testing

/// `Tests/Python/grpc_peer.py` as a process: the official gRPC runtime.
final class PythonPeer: @unchecked Sendable {
  // Unchecked: made and used by one test; Foundation's process and pipes may be used from any thread.
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  init(_ arguments: [String]) throws {
    let environment = ProcessInfo.processInfo.environment["EMAILMCP_TEST_PYTHON"]
    let candidates = [environment, Self.repository.appending(path: ".build/venv/bin/python").path].compactMap { $0 }
    let interpreter = try #require(
      candidates.first(where: FileManager.default.isExecutableFile), "run script/python first: it prepares the peers")
    process.executableURL = URL(fileURLWithPath: interpreter)
    process.arguments = [Self.repository.appending(path: "Tests/Python/grpc_peer.py").path] + arguments
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  deinit { if process.isRunning { process.terminate() } }

  /// The next line that it prints; blocks a thread of its own.
  func line() async -> String {
    await withCheckedContinuation { continuation in
      // A thread of its own: blocked ones of the shared pool would stop every other test.
      Thread.detachNewThread {
        var bytes = Data()
        while let byte = try? self.output.fileHandleForReading.read(upToCount: 1), let first = byte.first, first != 0x0a
        {
          bytes.append(first)
        }
        continuation.resume(returning: String(decoding: bytes, as: UTF8.self))
      }
    }
  }

  /// Everything that it prints until it ends.
  func rest() async -> String {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        let bytes = try? self.output.fileHandleForReading.readToEnd()
        continuation.resume(returning: String(decoding: bytes ?? Data(), as: UTF8.self))
      }
    }
  }

  func tell(_ line: String) throws { try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8)) }

  func stop() {
    try? input.fileHandleForWriting.close()
    process.terminate()
    process.waitUntilExit()
  }
}
