import ArgumentParser
import TLSSession

struct VaultCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vault", abstract: "Looks after what is sealed under EMAILMCP_VAULT_KEYS.", subcommands: [Reseal.self])

  struct Reseal: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Seals under the newest key what is under older ones, and says what still needs those.",
      discussion: "For when every process has the new key. Ends with 0 when the older keys may go.")

    func run() async throws {
      let keys = try Keyring(parsing: OwnerSettings.secret("EMAILMCP_VAULT_KEYS"))
      let rows = try SealedRows(url: OwnerSettings.databaseURL(), keys: keys)
      let (moved, left) = try await rows.reseal()
      print("sealed anew: \(moved.grants) grants, \(moved.webhooks) webhook endpoints")
      guard left != SealedRows.Count() else { return }
      print(
        "still under other keys: \(left.grants) grants, \(left.webhooks) webhook endpoints, \(left.mails) mails in the queue"
      )
      throw ExitCode.failure
    }
  }
}
