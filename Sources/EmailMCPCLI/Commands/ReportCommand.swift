import ArgumentParser
import HTTPTypes
import TLSSession

struct ReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Shows a user's report or the platform's, or recomputes what reports rest on.",
    subcommands: [Show.self, Rebuild.self], defaultSubcommand: Show.self)

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints a report as JSON, by the REST API.",
      discussion: "The API is at EMAILMCP_URL, the key in EMAILMCP_API_KEY.")

    @Option(help: "The platform's id of the user; without it the platform's summary.")
    var user: String?

    @Option(help: "A date, or an RFC 3339 time.")
    var startDate: String?

    @Option(help: "A date, whose whole day counts, or an RFC 3339 time.")
    var endDate: String?

    @Option(help: "An IANA time zone; default UTC.")
    var tz: String?

    func run() async throws {
      let query = [("start_date", startDate), ("end_date", endDate), ("tz", tz)].compactMap { name, value in
        value.map { "\(name)=\(PercentText.encode($0))" }
      }
      let path = user.map { "/v1/reports/users/\(PercentText.encode($0))" } ?? "/v1/reports/summary"
      try await APIClient().call(.get, query.isEmpty ? path : "\(path)?\(query.joined(separator: "&"))")
    }
  }

  struct Rebuild: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Recomputes every roll-up from the log of mails, as the owner of DATABASE_URL.",
      discussion: "Outcomes wait while a tenant is recomputed; reports go on with the old figures until it is done.")

    @Option(help: "Only this tenant.")
    var tenant: String?

    func run() throws {
      let rollups = try Rollups(url: OwnerSettings.databaseURL())
      let tenants = try tenant.map { [$0] } ?? rollups.tenants()
      for tenant in tenants {
        let mails = try rollups.rebuild(tenant)
        print("\(tenant): \(mails) mails with an outcome")
      }
    }
  }
}
