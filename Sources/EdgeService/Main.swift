import Glibc
import ServiceKit

@main
enum Main {
  static func main() async {
    exit(await ServiceProcess<Edge>.run(arguments: CommandLine.arguments, environment: processEnvironment()))
  }
}
