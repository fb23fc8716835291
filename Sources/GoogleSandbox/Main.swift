import Glibc
import ServiceKit

@main
enum Main {
  static func main() async {
    var environment = processEnvironment()
    var arguments = CommandLine.arguments
    if let index = arguments.firstIndex(of: "--port") {
      guard index + 1 < arguments.count, let port = UInt16(arguments[index + 1]) else {
        printError("google-sandbox: --port needs a number up to 65535")
        exit(2)
      }
      environment["EMAILMCP_LISTEN"] = "127.0.0.1:\(port)"
      arguments.removeSubrange(index...(index + 1))
    }
    exit(await ServiceProcess<GoogleSandboxService>.run(arguments: arguments, environment: environment))
  }
}
