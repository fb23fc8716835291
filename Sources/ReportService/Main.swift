import Glibc
import ServiceKit

@main
enum Main {
  static func main() async {
    exit(await ServiceProcess<ReportService>.run(arguments: CommandLine.arguments, environment: processEnvironment()))
  }
}
