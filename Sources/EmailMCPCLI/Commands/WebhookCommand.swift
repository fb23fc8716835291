import ArgumentParser
import SecretVault
import ServiceKit
import TLSSession

struct WebhookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "webhook", abstract: "Administers where a tenant is told what has happened (Standard Webhooks).",
    subcommands: [Add.self, List.self, Remove.self, Enable.self, Rotate.self, Deliveries.self, Replay.self])

  /// From EMAILMCP_VAULT_KEYS, as the mailer has it.
  private static func seal() throws -> ColumnSeal {
    ColumnSeal(try Keyring(parsing: OwnerSettings.secret("EMAILMCP_VAULT_KEYS")))
  }

  private static func webhooks() throws -> Webhooks { try Webhooks(url: OwnerSettings.databaseURL()) }

  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes an endpoint; prints its id and its secret, which cannot be shown again.")
    @Option(help: "The tenant.") var tenant: String
    @Flag(help: "Of a message's statuses only the last: success, failed, unknown, cancelled.") var finalOnly = false
    @Argument(help: "https://…") var url: String

    func run() throws {
      // As the mailer has it.
      let allowsLoopback = processEnvironment()["EMAILMCP_WEBHOOK_LOOPBACK"] == "on"
      let url = try WebhookURL(endpoint: url, allowsLoopback: allowsLoopback)
      let (id, secret) = try webhooks().add(tenant, url, finalOnly: finalOnly, seal: try seal())
      print("\(id)\t\(secret.revealed)")
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists a tenant's endpoints: id, URL, which statuses, state, waiting and dead deliveries.")
    @Option(help: "The tenant.") var tenant: String

    func run() throws { for row in try webhooks().list(tenant) { WebhookCommand.show(row) } }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Removes an endpoint with all that was to be told.")
    @Option(help: "The tenant.") var tenant: String
    @Argument(help: "The endpoint's id.") var id: String

    func run() throws { try webhooks().remove(tenant, id) }
  }

  struct Enable: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets an endpoint that answered 410 have webhooks again.")
    @Option(help: "The tenant.") var tenant: String
    @Argument(help: "The endpoint's id.") var id: String

    func run() throws { try webhooks().enable(tenant, id) }
  }

  struct Rotate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a new secret and prints it; the old one signs too until the overlap is over.")
    @Option(help: "The tenant.") var tenant: String
    @Option(help: "For example 24h, 7d.") var overlap = Lifetime(argument: "24h")!
    @Argument(help: "The endpoint's id.") var id: String

    func run() throws {
      print(try webhooks().rotate(tenant, id, overlap: overlap.duration, seal: try seal()).revealed)
    }
  }

  struct Deliveries: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists an endpoint's newest deliveries in a state.")
    @Option(help: "The tenant.") var tenant: String
    @Option(help: "pending, delivered or dead.") var state = "dead"
    @Option(help: "At most so many.") var limit = 100
    @Argument(help: "The endpoint's id.") var id: String

    func validate() throws {
      guard ["pending", "delivered", "dead"].contains(state), 1...10_000 ~= limit else {
        throw ValidationError("--state is pending, delivered or dead; --limit is 1 to 10000")
      }
    }

    func run() throws {
      for row in try webhooks().deliveries(tenant, id, state: state, limit: limit) { WebhookCommand.show(row) }
    }
  }

  struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells an endpoint again what was given up, or one event whatever became of it; prints how many.")
    @Option(help: "The tenant.") var tenant: String
    @Option(help: "One event's webhook-id.") var event: String?
    @Argument(help: "The endpoint's id.") var id: String

    func run() throws { print(try webhooks().replay(tenant, id, event: event)) }
  }

  private static func show(_ row: [String?]) { print(row.map { $0 ?? "" }.joined(separator: "\t")) }
}
