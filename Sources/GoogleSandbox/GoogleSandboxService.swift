import EventLoop
import Logging
import ServiceKit
import TLSSession

/// The stand-in as a process.
enum GoogleSandboxService: Service {
  static let name = "google-sandbox"
  static let defaultListen = "127.0.0.1:8090"
  /// All state is one loop's: another loop would be another Google.
  static let maximumLoops = 1
  static let ownArgument: (name: String, help: String)? = ("--port N", "listens at this port of 127.0.0.1, not at 8090")
  /// Any free port: health is on the main one.
  static let defaultAdminListen = "127.0.0.1:0"

  struct Configuration: Sendable {
    let sandbox: Sandbox.Configuration
    let listen: ListenAddress
  }

  /// The client is the one that the services are given, so that one environment serves all.
  static func configure(_ settings: Settings, _ common: CommonSettings) -> Configuration {
    let secret = settings.optionalSecret("EMAILMCP_GOOGLE_CLIENT_SECRET") ?? SecretBytes("sandbox-secret")
    let redirectURIs = [
      settings.string("EMAILMCP_GOOGLE_REDIRECT_URI", default: "http://localhost:8080/v1/oauth/callback"),
      "http://localhost:\(port(of: common.listen))/platform/callback",
      "http://127.0.0.1:\(port(of: common.listen))/platform/callback",
    ]
    let more = settings.optionalString("GOOGLE_SANDBOX_REDIRECT_URIS")?.split(separator: ",").map(String.init) ?? []
    let client = OAuthClient(
      id: settings.string("EMAILMCP_GOOGLE_CLIENT_ID", default: "sandbox.apps.googleusercontent.com"),
      secret: secret.revealedText, redirectURIs: Set(redirectURIs + more))
    return Configuration(
      sandbox: Sandbox.Configuration(
        client: client, issuer: settings.string("EMAILMCP_GOOGLE_ISSUER", default: "https://accounts.google.com"),
        dataFolder: settings.optionalString("EMAILMCP_SANDBOX_DATA")), listen: common.listen)
  }

  private static func port(of address: ListenAddress) -> UInt16 {
    if case .hostPort(_, let port) = address { port } else { 8090 }
  }

  static func start(on loop: ServiceLoop, _ configuration: Configuration) async throws -> any ServiceGraph {
    let server = SandboxServer(try Sandbox(configuration.sandbox), on: loop.reactor)
    try server.listen(try await configuration.listen.resolve(on: loop.reactor))
    return Graph(server)
  }

  private final class Graph: ServiceGraph {
    private let server: SandboxServer

    init(_ server: SandboxServer) { self.server = server }

    func drain(within limit: Duration) async { await server.drain(timeout: limit) }
  }
}
