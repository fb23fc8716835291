import ArgumentParser

struct TenantCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tenant", abstract: "Administers tenants: the platforms that use this service.",
    subcommands: [
      Create.self, AddRedirect.self, RemoveRedirect.self, AddOrigin.self, RemoveOrigin.self, Disable.self, Enable.self,
      Show.self, List.self,
    ])

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes a tenant.")
    @Argument(help: "1 to 63 of a-z, 0-9 and -; it never changes.") var name: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).create(name) }
  }

  struct AddRedirect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Registers a page where a connection may end; requests must name it exactly.")
    @Argument var name: String
    @Argument var url: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).addRedirect(name, url) }
  }

  struct RemoveRedirect: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes a page off; no connection ends there any more.")
    @Argument var name: String
    @Argument var url: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).removeRedirect(name, url) }
  }

  struct AddOrigin: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Allows pages of an origin to call with user tokens (CORS).")
    @Argument var name: String
    @Argument var origin: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).addOrigin(name, origin) }
  }

  struct RemoveOrigin: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes an origin off.")
    @Argument var name: String
    @Argument var origin: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).removeOrigin(name, origin) }
  }

  struct Disable: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Stops a tenant: its keys are refused, its mail and its webhooks wait until it is enabled.",
      discussion: "From when this ends on no request of it to Gmail begins; those under way are finished.")
    @Argument var name: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).disable(name) }
  }

  struct Enable: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lets a disabled tenant go on where it was stopped.")
    @Argument var name: String

    func run() throws { try Tenants(url: OwnerSettings.databaseURL()).enable(name) }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows a tenant: its state, how much of its mail waits, its redirect URLs and origins.")
    @Argument var name: String

    func run() throws {
      let tenants = try Tenants(url: OwnerSettings.databaseURL())
      for (kind, value) in try tenants.state(name) + tenants.registered(name) { print("\(kind)\t\(value)") }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the tenants.")

    func run() throws {
      for tenant in try Tenants(url: OwnerSettings.databaseURL()).list() {
        print("\(tenant.name)\t\(tenant.createdAt)\t\(tenant.isDisabled ? "disabled" : "active")")
      }
    }
  }
}
