import EventLoop
import Glibc
import ServiceKit

@main
enum Main {
  static func main() async {
    var environment: [String: String] = [:]
    for (name, value) in currentEnvironment() { environment[name] = value }
    // All state is one loop's: another loop would be another Google.
    environment["EMAILMCP_LOOPS"] = "1"
    var arguments = CommandLine.arguments
    if let index = arguments.firstIndex(of: "--port") {
      guard index + 1 < arguments.count, let port = UInt16(arguments[index + 1]) else {
        let message = Array("google-sandbox: --port needs a number up to 65535\n".utf8)
        _ = message.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
        exit(2)
      }
      environment["EMAILMCP_LISTEN"] = "127.0.0.1:\(port)"
      arguments.removeSubrange(index...(index + 1))
    }
    exit(await ServiceProcess<GoogleSandboxService>.run(arguments: arguments, environment: environment))
  }

  private static func currentEnvironment() -> [(String, String)] {
    var result: [(String, String)] = []
    var entry = environ
    while let text = entry.pointee {
      let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if pair.count == 2 { result.append((String(pair[0]), String(pair[1]))) }
      entry += 1
    }
    return result
  }
}
