import Glibc
import ServiceKit

@main
enum Main {
  static func main() async {
    exit(
      await ServiceProcess<MailerService>.run(arguments: CommandLine.arguments, environment: processEnvironment()))
  }
}
