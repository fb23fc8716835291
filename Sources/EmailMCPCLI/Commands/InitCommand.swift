import ArgumentParser

struct InitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Makes the certificates and keys of an installation in a folder, as far as they are missing.",
    discussion: """
      A local authority (ca.pem), a certificate with its SPIFFE name for each service, and the key rings vault-keys, \
      context-keys, token-keys and key-pepper. Certificates with less than 30 days left are issued anew.
      """)

  @Argument(help: "The folder; made if it is missing, and readable by its owner alone.")
  var folder: String

  func run() throws {
    let made = try Identities(folder: folder).ensure()
    print(made.isEmpty ? "everything is there" : "made \(made.joined(separator: ", "))")
  }
}
