import Glibc

/// The environments of the processes of a development system. What the caller has set in his own environment wins,
/// so that `EMAILMCP_VAULT=aws script/run` means what it says.
struct DevSettings {
  let ports: DevPorts
  let folder: DevFolder
  let databaseURL: String
  let clientSecret: String
  let caller: [String: String]

  static let clientID = "emailmcp-dev.apps.googleusercontent.com"

  var edgeURL: String { "http://127.0.0.1:\(ports.edge.listen)" }
  var sandboxURL: String { "http://127.0.0.1:\(ports.sandbox)" }
  /// The stand-in for the platform's own page, where a connect ends.
  var platformPage: String { "\(sandboxURL)/platform/callback" }

  private var identities: Identities { folder.identities }

  /// What all of them share: one environment may serve all processes.
  private var common: [String: String] {
    [
      "DATABASE_URL": databaseURL,
      "EMAILMCP_OAUTH_TARGET": "ipv4:127.0.0.1:\(ports.oauth.listen)",
      "EMAILMCP_MAILER_TARGET": "ipv4:127.0.0.1:\(ports.mailer.listen)",
      "EMAILMCP_REPORT_TARGET": "ipv4:127.0.0.1:\(ports.report.listen)",
      "EMAILMCP_TLS_CA": identities.authorityCertificate,
      "EMAILMCP_VAULT_KEYS_FILE": identities.file("vault-keys"),
      "EMAILMCP_CONTEXT_KEYS_FILE": identities.file("context-keys"),
      "EMAILMCP_TOKEN_KEYS_FILE": identities.file("token-keys"),
      "EMAILMCP_KEY_PEPPER_FILE": identities.file("key-pepper"),
      "EMAILMCP_GOOGLE_CLIENT_ID": Self.clientID,
      "EMAILMCP_GOOGLE_CLIENT_SECRET": clientSecret,
      "EMAILMCP_GOOGLE_REDIRECT_URI": "\(edgeURL)/v1/oauth/callback",
      "EMAILMCP_GOOGLE_AUTHORIZATION_URL": "\(sandboxURL)/o/oauth2/v2/auth",
      "EMAILMCP_GOOGLE_TOKEN_URL": "\(sandboxURL)/token",
      "EMAILMCP_GOOGLE_REVOCATION_URL": "\(sandboxURL)/revoke",
      "EMAILMCP_GOOGLE_JWKS_URL": "\(sandboxURL)/oauth2/v3/certs",
      "EMAILMCP_GOOGLE_ISSUER": "https://accounts.google.com",
      "EMAILMCP_GMAIL_API_URL": sandboxURL,
      "EMAILMCP_PUBLIC_URL": edgeURL,
      "EMAILMCP_WEBHOOK_LOOPBACK": "on",
      "EMAILMCP_SANDBOX_DATA": folder.sandbox,
    ]
  }

  func service(_ name: String, _ ports: DevPorts.Service) -> [String: String] {
    merged([
      "EMAILMCP_LISTEN": "127.0.0.1:\(ports.listen)",
      "EMAILMCP_ADMIN_LISTEN": "127.0.0.1:\(ports.admin)",
      "EMAILMCP_TLS_CERT": identities.certificate(name),
      "EMAILMCP_TLS_KEY": identities.key(name),
    ])
  }

  func sandbox() -> [String: String] { merged(["EMAILMCP_LISTEN": "127.0.0.1:\(ports.sandbox)"]) }

  private func merged(_ own: [String: String]) -> [String: String] {
    var environment = common
    // The services write into pipes; what counts is who reads our own output.
    if isatty(STDOUT_FILENO) == 1 { environment["EMAILMCP_LOG_FORMAT"] = "text" }
    for name in ["PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"] { environment[name] = caller[name] }
    for (name, value) in caller where Self.isPassedOn(name) {
      environment[name] = value
      // A secret given as a value replaces the default that is a file, and the other way round: both set is refused.
      if name.hasSuffix("_FILE") {
        environment[String(name.dropLast(5))] = nil
      } else {
        environment["\(name)_FILE"] = nil
      }
    }
    return environment.merging(own) { _, own in own }
  }

  private static func isPassedOn(_ name: String) -> Bool {
    ["EMAILMCP_", "AWS_", "OTEL_"].contains { name.hasPrefix($0) }
  }
}
