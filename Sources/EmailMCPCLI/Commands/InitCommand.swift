import ArgumentParser

struct InitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Makes the certificates and keys of an installation in a folder, as far as they are missing.",
    discussion: """
      A local authority (ca.pem), a certificate with its SPIFFE name for each service, and the key rings vault-keys, \
      context-keys, token-keys and key-pepper. Certificates with less than 30 days left are issued anew. \
      The folders edge, oauth, mailer, report and owner below it have copies of what each of them needs, to be mounted \
      alone: give no service the folder itself, where the authority's key is. Run it again after a change.
      """)

  @Argument(help: "The folder; made if it is missing, and readable by its owner alone.")
  var folder: String

  func run() throws {
    let identities = Identities(folder: folder)
    let made = try identities.ensure() + identities.layApart()
    print(made.isEmpty ? "everything is there" : "made \(made.joined(separator: ", "))")
  }
}
