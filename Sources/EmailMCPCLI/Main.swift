import ArgumentParser
import ServiceKit

@main
struct EmailMCP: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "emailmcp",
    abstract: "Runs and administers EmailMCP: users' own Gmail accounts, connected once, sending for a platform.",
    version: "emailmcp \(Release.version)",
    subcommands: [
      DevCommand.self, InitCommand.self, MigrateCommand.self, TenantCommand.self, KeyCommand.self,
      SuppressionCommand.self, WebhookCommand.self, VaultCommand.self,
      DoctorCommand.self, SendCommand.self, CapacityCommand.self, ReportCommand.self,
    ])
}
