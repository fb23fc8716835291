import EventLoop
import PostgresClient
import RPCRuntime
import ServiceKit
import TLSSession

/// What the edge reads from its environment.
struct EdgeConfiguration: Sendable {
  var listen: ListenAddress
  /// Nil only when the setting is missing or wrong, which ends the start.
  var database: PostgresConfiguration?
  var oauth: ChannelTarget
  var mailer: ChannelTarget
  var reports: ChannelTarget
  var rpc: RPCSettings
  /// Public HTTPS; nil: plain HTTP for a proxy in front.
  var publicTLS: TLSServerContext?
  var access: AccessConfiguration

  init(_ settings: Settings, _ common: CommonSettings) {
    listen = common.listen
    database = settings.database(of: Edge.name)
    oauth = settings.target("EMAILMCP_OAUTH_TARGET", default: "dns:///localhost:7001")
    mailer = settings.target("EMAILMCP_MAILER_TARGET", default: "dns:///localhost:7002")
    reports = settings.target("EMAILMCP_REPORT_TARGET", default: "dns:///localhost:7003")
    rpc = RPCSettings(settings, of: Edge.name)
    let certificate = settings.optionalString("EMAILMCP_EDGE_TLS_CERT")
    let key = settings.optionalString("EMAILMCP_EDGE_TLS_KEY")
    switch (certificate, key) {
    case (let certificate?, let key?):
      do {
        publicTLS = try TLSServerContext(
          TLSServerSettings(
            identity: TLSIdentity(certificateFile: certificate, keyFile: key), protocols: ["h2", "http/1.1"]),
          onReload: { $0.tell(of: Edge.name) })
      } catch {
        settings.fail("EMAILMCP_EDGE_TLS_CERT and _KEY", "cannot be used: \(error)")
      }
    case (nil, nil): publicTLS = nil
    case (nil, _): settings.fail("EMAILMCP_EDGE_TLS_CERT", "is missing beside EMAILMCP_EDGE_TLS_KEY")
    case (_, nil): settings.fail("EMAILMCP_EDGE_TLS_KEY", "is missing beside EMAILMCP_EDGE_TLS_CERT")
    }
    access = AccessConfiguration(
      tokenKeys: settings.keyring("EMAILMCP_TOKEN_KEYS"),
      keyPeppers: settings.peppers("EMAILMCP_KEY_PEPPER"),
      ratePerKey: settings.rate("EMAILMCP_RATE_PER_KEY", default: "100/s"),
      ratePerUser: settings.rate("EMAILMCP_RATE_PER_USER", default: "10/s"))
  }
}

/// How callers are known, and how often they may call.
struct AccessConfiguration: Sendable {
  var tokenKeys: Keyring
  var keyPeppers: Keyring
  var ratePerKey: Rate
  var ratePerUser: Rate
}
