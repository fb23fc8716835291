import ArgumentParser
import ServiceKit
import TLSSession

struct KeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "key", abstract: "Administers API keys.",
    subcommands: [Create.self, List.self, Rotate.self, Revoke.self])

  /// From EMAILMCP_KEY_PEPPER, as the edge has it.
  static func peppers() throws -> Keyring { try peppers(OwnerSettings.secret("EMAILMCP_KEY_PEPPER")) }

  static func peppers(_ text: String) throws -> Keyring {
    do {
      return try Keyring(peppers: text)
    } catch {
      throw ValidationError("EMAILMCP_KEY_PEPPER is malformed: \(error)")
    }
  }

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a key and prints it, alone on stdout; it cannot be shown again.")
    @Option(help: "The tenant.") var tenant: String
    @Option(help: "Comma-separated, of \(Tenants.scopes.joined(separator: ", ")).") var scopes: String
    @Option(help: "live or test.") var env: APIKey.Environment = .live
    @Option(name: .customLong("expires-in"), help: "For example 30d, 12h.") var expiresIn: Lifetime?

    func run() throws {
      let key = try Tenants(url: OwnerSettings.databaseURL()).createKey(
        tenant, scopes: scopes.split(separator: ",", omittingEmptySubsequences: false).map(String.init),
        environment: env, expiresIn: expiresIn?.duration, peppers: try KeyCommand.peppers())
      print(key.revealed)
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the keys, without their secrets.")

    func run() throws {
      for key in try Tenants(url: OwnerSettings.databaseURL()).keys() {
        let state = key.revokedAt.map { "revoked \($0)" } ?? key.expiresAt.map { "expires \($0)" } ?? "live"
        print("\(key.id)\t\(key.tenant)\t\(key.environment)\t\(key.scopes)\t\(key.createdAt)\t\(state)")
      }
    }
  }

  struct Rotate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a second key with the same rights and as long a life, and prints it; the old one lives on.")
    @Argument(help: "The id of the key to follow.") var id: String

    func run() throws {
      print(try Tenants(url: OwnerSettings.databaseURL()).rotateKey(id, peppers: KeyCommand.peppers()).revealed)
    }
  }

  struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Ends a key; within 5 s no edge takes it any more.")
    @Argument(help: "The key's id.") var id: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).revokeKey(id) }
  }
}

extension APIKey.Environment: ExpressibleByArgument {}

/// A time span as people type it: a whole number and one of s, m, h, d.
struct Lifetime: ExpressibleByArgument {
  let duration: Duration
  let defaultValueDescription: String

  init?(argument: String) {
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    guard let unit = argument.last.flatMap({ units[$0] }), let count = Int64(argument.dropLast()),
      count >= 0, count <= 3_650 * 86_400 / unit
    else { return nil }
    duration = .seconds(count * unit)
    defaultValueDescription = argument
  }
}
