import ArgumentParser
import MailSyntax

struct SuppressionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "suppression", abstract: "Administers whom a tenant may not write to.",
    subcommands: [Add.self, List.self, Remove.self])

  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Suppresses an address, or a domain with all that is below it.")
    @Option(help: "The tenant.") var tenant: String
    @Option(help: "A note, at most \(SuppressionNote.maximumLength) characters.") var reason = ""
    @Argument(help: "local@domain, or a domain.") var entry: String

    func run() throws {
      try Suppressions(url: OwnerSettings.databaseURL()).add(tenant, entry, reason: reason)
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists a tenant's entries.")
    @Option(help: "The tenant.") var tenant: String

    func run() throws {
      try Suppressions(url: OwnerSettings.databaseURL()).forEach(tenant) { row in
        print("\(row.entry)\t\(row.source)\t\(row.createdAt)\t\(row.reason ?? "")")
      }
    }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes an entry off the list.")
    @Option(help: "The tenant.") var tenant: String
    @Argument(help: "As it is listed.") var entry: String

    func run() throws { try Suppressions(url: OwnerSettings.databaseURL()).remove(tenant, entry) }
  }
}
